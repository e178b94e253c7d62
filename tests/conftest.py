import pytest
from hypothesis import settings

from hybridsim.engines import ENGINES, Engine
from hybridsim.engines import engine as engine_by_name
from tests.random_inputs import Run, times

# the first call of a compiled function takes seconds, so a single example has no deadline
settings.register_profile("hybridsim", deadline=None)
settings.load_profile("hybridsim")


@pytest.fixture(params=sorted(ENGINES), scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn: a test that uses it never names one."""
    return engine_by_name(request.param)


@pytest.fixture(scope="session")
def run(engine: Engine) -> Run:
    """Each engine in turn, for plans of delays."""
    return lambda plan: engine(plan, times(plan))
