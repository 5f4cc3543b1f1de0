"""Parameters read from a source are those of the imported thing."""

import inspect

import pytest
from hydra.utils import get_object

from colorflow.utils.signatures import parameter_names


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("diffusers.optimization.get_cosine_schedule_with_warmup", id="function"),
        pytest.param("colorflow.data.sources.ChapterSource", id="class"),
        pytest.param("colorflow.pipelines.recipes.Recipe", id="dataclass"),
        pytest.param("colorflow.models.icp_model.LoraSettings", id="named tuple"),
        pytest.param("colorflow.callbacks.checkpoint.Checkpoint", id="constructor of the base"),
        pytest.param("lightning.Trainer", id="re-exported"),
        pytest.param("torch.optim.AdamW", id="re-exported beside the module"),
    ],
)
def test_they_are_the_same(target):
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(get_object(target)).parameters.values()
    assert parameter_names(target) == {parameter.name for parameter in parameters if parameter.kind not in kinds}


@pytest.mark.parametrize("target", ["math.sqrt", "colorflow.nothing.build", "colorflow.config.nothing", "nowhere"])
def test_what_no_source_tells_is_said(target):
    assert parameter_names(target) is None
