"""What happens to requests, counted alike in the gateway and in a pod."""
