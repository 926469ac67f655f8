/* A client of a zmqruntime server in one file, with libzmq and without a JSON library.
 *
 *     cc client.c -o client $(pkg-config --cflags --libs libzmq)
 *     ./client tcp://127.0.0.1:8777 tcp://127.0.0.1:7777 '{"loaves": 5}'
 *
 * Pings the server, registers for events, submits the task, prints every event and then the
 * result. Exit code: 0 complete, 1 any other end or an error, 2 usage.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define CLIENT_ID "c-client"
#define REPLY_MS 5000 /* timeout of a reply */
#define QUIET_MS 2000 /* time without an event after which the status is requested */

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1); /* The system closes the sockets, which do not linger. */
}

/* ---- JSON: find a field of an object ------------------------------------------------------ */

typedef struct {
    const char *start;
    size_t length;
} Value;

#define NOTHING ((Value){"", 0})
#define SHOW(value) (int)(value).length, (value).start /* for %.*s */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static const char *skip_value(const char *at)
{
    int depth = 0;
    do {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        else if (depth == 0)
            return at + strcspn(at, ",}] \t\r\n"); /* a number, true, false or null */
        at++;
    } while (depth > 0 && *at);
    return at;
}

/* Return the raw value of a field of an object; empty when it is missing. */
static Value find(Value object, const char *name)
{
    const size_t length = strlen(name);
    const char *at = skip_space(object.start);
    if (object.length == 0 || *at != '{')
        return NOTHING;
    for (at = skip_space(at + 1); *at == '"'; at = skip_space(at + 1)) {
        const char *key = at + 1;
        const char *value = skip_string(at);
        const int found = (size_t)(value - key) == length + 1 && !strncmp(key, name, length);
        value = skip_space(skip_space(value) + 1); /* skip the colon */
        at = skip_value(value);
        if (found)
            return (Value){value, (size_t)(at - value)};
        at = skip_space(at);
        if (*at != ',')
            break;
    }
    return NOTHING;
}

static int is(Value value, const char *written)
{
    return value.length == strlen(written) && !strncmp(value.start, written, value.length);
}

/* ---- ZeroMQ: one frame is one message ------------------------------------------------------ */

/* Replace control characters (C0, C1, DEL) by spaces: the text is printed on a terminal. */
static void replace_controls(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0) /* C1, in UTF-8 */
            at[0] = at[1] = ' ';
        else if (*at < ' ' || *at == 0x7F)
            *at = ' ';
    }
}

/* Return the next frame as text, valid until the next call with this buffer; empty on timeout. */
static Value receive(void *socket, char **buffer)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, socket, 0) < 0) {
        if (zmq_errno() != EAGAIN)
            fail("cannot receive: %s", zmq_strerror(zmq_errno()));
        return NOTHING;
    }
    const size_t size = zmq_msg_size(&frame);
    char *text = realloc(*buffer, size + 1);
    if (!text)
        fail("out of memory");
    memcpy(text, zmq_msg_data(&frame), size);
    text[size] = '\0';
    replace_controls(text);
    zmq_msg_close(&frame);
    *buffer = text;
    return (Value){text, size};
}

static void *open_socket(void *context, int type, const char *address, int timeout_ms)
{
    const int no_linger = 0;
    void *socket = zmq_socket(context, type);
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof no_linger) ||
        zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms) ||
        zmq_connect(socket, address))
        fail("cannot connect to %s: %s", address, zmq_strerror(zmq_errno()));
    return socket;
}

static char *reply_buffer, *event_buffer;

/* Send a request and return its reply; exit with the message of an error reply. */
static Value call(void *control, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *request = malloc((size_t)size + 1);
    if (!request)
        fail("out of memory");
    va_start(arguments, format);
    vsnprintf(request, (size_t)size + 1, format, arguments);
    va_end(arguments);
    const int sent = zmq_send(control, request, (size_t)size, 0);
    free(request);
    if (sent < 0)
        fail("cannot send to the server: %s", zmq_strerror(zmq_errno()));
    const Value reply = receive(control, &reply_buffer);
    if (reply.length == 0)
        fail("no reply within %d ms: start the server", REPLY_MS);
    if (is(find(reply, "type"), "\"error\"")) {
        const Value code = find(reply, "code"), message = find(reply, "message");
        fail("%.*s: %.*s", SHOW(code), SHOW(message));
    }
    return reply;
}

static int is_terminal(Value status)
{
    return is(status, "\"complete\"") || is(status, "\"failed\"") || is(status, "\"cancelled\"");
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: %s CONTROL_ADDRESS DATA_ADDRESS TASK\n", arguments[0]);
        return 2;
    }
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    char id[64]; /* in JSON notation */
    snprintf(id, sizeof id, "\"c-%lld-%09ld\"", (long long)now.tv_sec, now.tv_nsec);

    void *context = zmq_ctx_new();
    void *control = open_socket(context, ZMQ_REQ, arguments[1], REPLY_MS);
    void *data = open_socket(context, ZMQ_SUB, arguments[2], QUIET_MS);

    Value reply = call(control, "{\"type\": \"ping\"}");
    const Value server = find(reply, "server");
    printf("server %.*s\n", SHOW(server));

    /* Subscribe, then wait for the acknowledgement: no later event is missed. */
    zmq_setsockopt(data, ZMQ_SUBSCRIBE, CLIENT_ID "/", strlen(CLIENT_ID "/"));
    call(control, "{\"type\": \"register_progress\", \"client_id\": \"" CLIENT_ID "\"}");

    /* With an execution_id of the client, the request is idempotent. */
    call(control,
        "{\"type\": \"execute\", \"client_id\": \"" CLIENT_ID "\", \"execution_id\": %s,"
        " \"task\": %s}",
        id, arguments[3]);

    Value status = NOTHING;
    while (!is_terminal(status)) {
        const Value topic = receive(data, &event_buffer);
        if (topic.length == 0) { /* Events may be lost: get the status. */
            reply = call(control, "{\"type\": \"status\", \"execution_id\": %s}", id);
            status = find(find(reply, "execution"), "status");
            continue;
        }
        const Value event = receive(data, &event_buffer);
        if (!is(find(event, "execution_id"), id))
            continue;
        status = find(event, "status");
        const Value sequence = find(event, "sequence"), percent = find(event, "percent");
        const Value shown = status.length ? status : percent;
        printf("%.*s %.*s\n", SHOW(sequence), SHOW(shown));
        fflush(stdout);
    }

    reply = call(control, "{\"type\": \"status\", \"execution_id\": %s}", id);
    const Value execution = find(reply, "execution");
    const int complete = is(find(execution, "status"), "\"complete\"");
    const Value end = find(execution, complete ? "result" : "error");
    printf("%.*s\n", SHOW(end));

    free(reply_buffer);
    free(event_buffer);
    zmq_close(control);
    zmq_close(data);
    zmq_ctx_term(context);
    return complete ? 0 : 1;
}
