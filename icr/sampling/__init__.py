"""What generates responses."""

from icr.sampling.decoding import Sampler
from icr.sampling.policy_translator import PolicyTranslator
from icr.sampling.transformers_sampler import TransformersSampler
from icr.sampling.vllm_sampler import VLLMSampler
from icr.sampling.vllm_server_sampler import VLLMServerSampler

__all__ = [
    "PolicyTranslator",
    "Sampler",
    "TransformersSampler",
    "VLLMSampler",
    "VLLMServerSampler",
]
