"""Pixels -> logits and top-5 on the cards. Glue: the work is in resnet50_triton.runtime."""

from resnet50_triton.triton import config as triton
from resnet50_triton.triton.kernel_model import KernelModel


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return triton.complete_config(config, __file__)

    def initialize(self, args):
        self.model = KernelModel(args, __file__)

    def execute(self, requests):
        return self.model.execute(requests)

    def is_ready(self):  # asked by Tritons newer than 24.10
        return self.model.is_ready()

    def finalize(self):
        self.model.close()
