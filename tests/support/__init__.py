"""What several rooms of tests share: real servers on real ports, small real ONNX models, bodies, refusals."""
