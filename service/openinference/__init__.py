"""The Open Inference Protocol (V2): what HTTP and gRPC share; their own parts are in http/ and grpc/."""
