"""Classifies one image of the sample: python3 -c ... HOST:PORT [FOLDER of tls.crt, tls.key and ca.crt].

With clients' certificates the server's own is sent for one, which its authority must have made for both uses.
"""

import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

address, *folder = sys.argv[1:]
options = {}
if folder:
    names = {"root_certificates": "ca.crt", "certificate_chain": "tls.crt", "private_key": "tls.key"}
    options = {"ssl": True, **{name: f"{folder[0]}/{file}" for name, file in names.items()}}
image = min(Path("/opt/resnet50-pynq/sample/images").glob("*.JPEG"))
tensor = triton.InferInput("IMAGE", [1, 1], "BYTES")
tensor.set_data_from_numpy(np.array([[image.read_bytes()]], dtype=object))
with triton.InferenceServerClient(address, **options) as client:
    answer = client.infer("classify", [tensor], client_timeout=60)
name = answer.get_response().outputs[0].name
values = answer.as_numpy(name)[0]
best = values.argmax() if name == "LOGITS" else values[0]
print(f"{address} classified {image.name}: {name} {values.shape}, class {best}")
