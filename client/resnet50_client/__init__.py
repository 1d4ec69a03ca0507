"""Client of a Triton server that runs resnet50-pynq, blocking and for asyncio.

`Client` blocks; `AsyncClient` is the same for asyncio:

    from resnet50_client import Client

    with Client("localhost:8001") as client:
        for prediction in client.classify(["cat.jpg", "dog.jpg"]):
            print(prediction.source, prediction.error or prediction.top[0].name)
"""

from resnet50_client.api import AsyncClient, ServerInfo
from resnet50_client.blocking import Client
from resnet50_client.endpoint import Access
from resnet50_client.errors import ClientError, DatasetError, ModelMismatch, RequestRefused, ServerUnavailable
from resnet50_client.images import Image, Images, Item, find_images
from resnet50_client.inspection import Inspection
from resnet50_client.prediction import Candidate, Prediction, Provenance, Times
from resnet50_client.version import __version__

__all__ = [
    "Access",
    "AsyncClient",
    "Candidate",
    "Client",
    "ClientError",
    "DatasetError",
    "Image",
    "Images",
    "Inspection",
    "Item",
    "ModelMismatch",
    "Prediction",
    "Provenance",
    "RequestRefused",
    "ServerInfo",
    "ServerUnavailable",
    "Times",
    "__version__",
    "find_images",
]
