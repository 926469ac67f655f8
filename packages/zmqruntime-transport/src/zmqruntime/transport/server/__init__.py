"""The server's side: bound sockets, the loop's session, replies, publishing, registration."""
