"""The client's side: connections, requests with retries, attach or launch, subscriptions."""
