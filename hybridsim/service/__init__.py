"""Adapters in service: requests of many tasks on one chip that holds the base network once."""

from hybridsim.service.alternatives import Alternatives, compare_alternatives
from hybridsim.service.lengths import TOO_LONG, Fitted, TooLong, fitted
from hybridsim.service.own_adapters import with_adapters
from hybridsim.service.peft import PeftAdapter, read_peft
from hybridsim.service.requests import Request, Requests, poisson_requests
from hybridsim.service.residency import POLICIES, Policy, Store
from hybridsim.service.result import ServiceResult, Targets
from hybridsim.service.service import Service, adapter_bytes, run_service
from hybridsim.service.serving import MIXES, Batch, Mix, Served, serve
from hybridsim.service.sureness import service_interval
from hybridsim.service.traces import FORMATS, read_requests

__all__ = [
    "FORMATS",
    "MIXES",
    "POLICIES",
    "TOO_LONG",
    "Alternatives",
    "Batch",
    "Fitted",
    "Mix",
    "PeftAdapter",
    "Policy",
    "Request",
    "Requests",
    "Served",
    "Service",
    "ServiceResult",
    "Store",
    "Targets",
    "TooLong",
    "adapter_bytes",
    "compare_alternatives",
    "fitted",
    "poisson_requests",
    "read_peft",
    "read_requests",
    "run_service",
    "serve",
    "service_interval",
    "with_adapters",
]
