"""The client's side: connections, requests with retries, attaching or launching, subscribing."""
