"""The data plane of the local target: gateway, supervisor, prompt application, model server."""
