"""The data plane: prompt application and model server, for one machine and for pods."""
