"""Adapters in service: requests of many tasks on one chip that holds the base network once."""

from hybridsim.service.alternatives import Alternatives, compare_alternatives
from hybridsim.service.peft import PeftAdapter, read_peft
from hybridsim.service.requests import Request, poisson_requests, read_requests
from hybridsim.service.residency import POLICIES, Policy, Store
from hybridsim.service.result import ServiceResult
from hybridsim.service.service import Service, adapter_bytes, run_service
from hybridsim.service.serving import MIXES, Batch, Mix, Served, serve

__all__ = [
    "MIXES",
    "POLICIES",
    "Alternatives",
    "Batch",
    "Mix",
    "PeftAdapter",
    "Policy",
    "Request",
    "Served",
    "Service",
    "ServiceResult",
    "Store",
    "adapter_bytes",
    "compare_alternatives",
    "poisson_requests",
    "read_peft",
    "read_requests",
    "run_service",
    "serve",
]
