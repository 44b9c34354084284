"""Chronos-2 under the public contract suite, with a small network and random weights; and what is
its own: files, licence, plans, and that it asks no hub.
"""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.windows import Windows
from framework.errors import ConfigError, RefusedError
from framework.interfaces.model import Model
from framework.interfaces.preprocessor import Preprocessor
from framework.options import Options
from framework.testing.contracts.leaks import assert_pair_does_not_leak
from framework.testing.contracts.model import ModelContract, take
from framework.testing.fakes import FakePreprocessor
from framework.testing.panels import make_panel, panel_schema, plain_arrays, sales_table
from framework.testing.servers import command

LEVELS = [0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.99]
CONFIG: dict[str, Any] = {
    "architectures": ["Chronos2Model"],
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
    "feed_forward_proj": "relu",
    "chronos_config": {
        "context_length": 64,
        "output_patch_size": 4,
        "input_patch_size": 4,
        "input_patch_stride": 4,
        "quantiles": LEVELS,
        "use_reg_token": True,
        "use_arcsinh": True,
        "max_output_patches": 4,
        "time_encoding_scale": 64,
    },
}


def write_weights(folder: Path, license_text: str | None = "apache-2.0", seed: int = 0) -> Path:
    """A folder as a hub would give it; torch is imported here: every process of the gate collects
    this file.
    """
    import torch
    from darts.models.forecasting.chronos2_model import _Chronos2Module
    from safetensors.torch import save_file

    folder.mkdir()
    own = {key: value for key, value in CONFIG.items() if key != "architectures"}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _Chronos2Module(**own, input_chunk_length=1, output_chunk_length=1)
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    if license_text is not None:
        (folder / "README.md").write_text(f"---\nlicense: {license_text}\n---\n# A card\n")
    return folder


class TestChronos2(ModelContract):
    name = "chronos2"
    options: ClassVar[dict[str, Any]] = {"input_chunk_length": 28}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def weights(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = write_weights(tmp_path_factory.mktemp("hub") / "chronos-2")
        cls.options = {**cls.options, "weights": str(folder)}
        return folder

    def fitted(
        self, panel: Panel | None = None, validation: bool = True
    ) -> tuple[Model, Windows, Schema]:
        """A network takes its milliseconds for each window: every sixth will do."""
        model, windows, schema = super().fitted(panel, validation)
        return model, take(windows, slice(None, None, 6)), schema

    def fitted_on(self, panel: Any, **changed: Any) -> tuple[Any, Any]:
        """A model fitted on a panel whose promotion is a past feature too, and its last windows."""
        schema = self.schema(panel)
        arrays = plain_arrays(panel, len(schema.targets))
        copy = arrays.future[:, :1] * 3 - 1  # the same values in another unit
        arrays = replace(
            arrays,
            past=np.concatenate([arrays.past, copy], axis=1),
            past_names=(*arrays.past_names, "promoted"),
        )
        train, later = self.split(arrays, schema)
        model = self.make(**changed)
        model.check(schema, arrays.past_names)
        model.fit(train, None, schema, 1)
        return model, replace(later.gather(0, 3), target=None)

    def test_a_plan_reaches_the_forecast_with_its_own_past(self) -> None:
        model, windows = self.fitted_on(make_panel(), history={"promotion": "promoted"})
        without, _ = self.fitted_on(make_panel())
        moved = replace(windows, future=1 - windows.future)
        assert not np.allclose(model.predict(moved), model.predict(windows))
        assert np.array_equal(without.predict(moved), without.predict(windows))
        assert model.covariates == {"future"}
        assert without.covariates == frozenset()
        assert "model.history names no past feature for price" in model.notes[0]
        assert model._known.apply(windows.past[0], windows.future[0])[0] == pytest.approx(
            (windows.past[0, :, -1:] + 1) / 3, abs=1e-6
        )
        with pytest.raises(ConfigError, match=r"promotion: the past feature 'temperature'"):
            self.fitted_on(make_panel(), history={"promotion": "temperature"})
        with pytest.raises(ConfigError, match=r"history\.promotion: there is no past feature 'pro"):
            self.fitted_on(make_panel(), history={"promotion": "promted"})
        with pytest.raises(ConfigError, match=r"model\.history: 'sales' is not in panel\.known"):
            self.fitted_on(make_panel(), history={"sales": "promoted"})

    def test_nothing_after_an_origin_reaches_a_pair(self, tmp_path: Path) -> None:
        """The canary of every bundled model; the other models have it beside each other."""
        panel = make_panel(series=2)
        length = self.make().context_length(7)

        def make(_: Panel) -> tuple[Preprocessor, Model]:
            return FakePreprocessor(Options()), self.make()

        schema = panel_schema(panel, context_length=length)
        origin = np.datetime64("2024-06-10", "us")
        assert_pair_does_not_leak(panel, schema, make, origin, 14, tmp_path)

    def test_numbers_are_those_of_darts_own_forward(self) -> None:
        """Darts' forward on the same window: unscaled, in one batch, at the levels it has."""
        import torch
        from darts.models.forecasting.chronos2_model import _Chronos2Module
        from darts.utils.data.torch_datasets.utils import PLModuleInput
        from darts.utils.likelihood_models.torch import QuantileRegression
        from safetensors.torch import load_file

        model, windows, schema = self.shared()
        own = {key: value for key, value in CONFIG.items() if key != "architectures"}
        network = _Chronos2Module(
            **own,
            input_chunk_length=28,
            output_chunk_length=schema.horizon,
            train_sample_shape={"past_target": (28, 2)},
            likelihood=QuantileRegression(LEVELS),
        ).eval()
        network.load_state_dict(load_file(Path(self.options["weights"]) / "model.safetensors"))
        batch = PLModuleInput(torch.as_tensor(windows.target_past, dtype=torch.float32))
        with torch.inference_mode():
            levels = np.sort(network(batch).prediction.numpy(), axis=-1)
        expected = levels[..., [LEVELS.index(q) for q in (0.1, 0.5, 0.9)]]
        answer = model.predict(windows)
        np.testing.assert_allclose(answer[..., 1:], expected, rtol=1e-4, atol=1e-3)
        assert np.array_equal(answer[..., 0], answer[..., 2])  # the mean is the median

    def test_no_hub_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """From fit to the forecast of the loaded model, with every connection refused."""

        def refuse(*address: Any) -> None:
            raise AssertionError(f"connects to {address}")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        model, windows, _ = self.fitted()
        model.save(tmp_path)
        assert np.array_equal(type(model).load(tmp_path).predict(windows), model.predict(windows))
        (tmp_path / "model.safetensors").unlink()
        with pytest.raises(ConfigError, match=r"has no model\.safetensors"):
            type(model).load(tmp_path)

    def test_digits_are_kept_far_from_zero(self) -> None:
        model, windows, _ = self.shared()
        far = 1e9
        moved = model.predict(replace(windows, target_past=windows.target_past + far)) - far
        assert np.abs(moved - model.predict(windows)).max() < 1e-4

    def test_a_horizon_context_or_quantile_beyond_the_model_is_refused(self) -> None:
        schema = self.schema(make_panel())
        for changed, words in (
            ({"horizon": 17}, r"panel\.horizon: 17 steps; .* at most 16"),
            ({"context_length": 65}, r"model\.input_chunk_length: 65 steps; .* at most 64"),
            ({"quantiles": (0.005,)}, r"quantiles: 0\.005 is beyond .* 0\.01 to 0\.99"),
        ):
            with pytest.raises(ConfigError, match=words):
                self.make().check(schema.model_copy(update=changed), ("sales",))

    def test_quantiles_between_those_of_the_model(self) -> None:
        model, windows, _ = self.shared()
        body = {**model._body, "quantiles": [0.1, 0.125, 0.15]}
        between = type(model)(model.options)
        between._use(body)
        low, middle, high = np.moveaxis(between.predict(windows)[..., 1:], -1, 0)
        assert np.allclose(middle, (low + high) / 2)

    def test_a_licence_that_is_not_free_must_be_accepted(self, tmp_path: Path) -> None:
        for stated, name in (
            ("cc-by-nc-4.0", "cc-by-nc-4.0"),
            ("other\nlicense_name: nxai-community", "nxai-community"),
        ):
            folder = write_weights(tmp_path / name, stated)
            with pytest.raises(ConfigError, match=rf"model\.accept_license: .*'{name}'"):
                self.make(weights=str(folder)).check(self.schema(make_panel()), ())
            with pytest.raises(ConfigError, match=r"model\.accept_license"):
                self.fitted_on(make_panel(), weights=str(folder))
            model, _ = self.fitted_on(make_panel(), weights=str(folder), accept_license=True)
            assert name in model.notes[0]
            assert model._body["license"] == name
        silent = write_weights(tmp_path / "silent", None)
        model, _ = self.fitted_on(make_panel(), weights=str(silent))
        assert "states no licence" in model.notes[0]
        assert self.shared()[0].notes == ()

    def test_a_changed_byte_is_refused(self, tmp_path: Path, weights: Path) -> None:
        """Before any row is read by the digest that was given, and between fit and save."""
        folder = tmp_path / "copy"
        shutil.copytree(weights, folder)
        digest = self.shared()[0]._body["sha256"]
        model, _ = self.fitted_on(make_panel(), weights=str(folder), weights_sha256=digest)
        flipped = bytearray((folder / "model.safetensors").read_bytes())
        flipped[-1] ^= 1
        (folder / "model.safetensors").write_bytes(flipped)
        other = self.make(weights=str(folder), weights_sha256=digest)
        with pytest.raises(RefusedError, match=r"model\.safetensors has the SHA-256"):
            other.check(self.schema(make_panel()), ())
        (tmp_path / "state").mkdir()
        with pytest.raises(RefusedError, match=r"model\.safetensors has the SHA-256"):
            model.save(tmp_path / "state")

    def test_a_folder_that_is_none_of_chronos2_is_refused(self, tmp_path: Path) -> None:
        schema = self.schema(make_panel())
        with pytest.raises(ConfigError, match=r"has no config\.json.* Nothing is downloaded\."):
            self.make(weights=str(tmp_path)).check(schema, ())
        folder = write_weights(tmp_path / "other")
        (folder / "config.json").write_text(json.dumps({**CONFIG, "d_model": 8}))
        with pytest.raises(ConfigError, match="are not those of one Chronos-2 model"):
            self.fitted_on(make_panel(), weights=str(folder))
        (folder / "config.json").write_text('{"model_type": "t5"}')
        with pytest.raises(ConfigError, match="is not that of a Chronos-2 model"):
            self.make(weights=str(folder)).check(schema, ())


@pytest.mark.stress
def test_a_pair_is_whole_without_the_folder_and_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    """By the command line, in a process whose connections are refused."""
    write_weights(tmp_path / "chronos")
    sales_table(series=2)[["shop", "event_timestamp", "sales"]].to_csv(
        tmp_path / "sales.csv", index=False
    )
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "no_network.py").write_text(
        "import socket\n"
        "def refuse(*address): raise AssertionError(f'connects to {address}')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
    )

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        done = command.run(*words, cwd=tmp_path)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    assert run("run=init", "init.data=sales.csv")[0] == 0
    own = ("+experiment=sales", "model=chronos2", "model.weights=chronos")
    code, trained = run(*own)
    assert code == 0
    assert trained["pair"]["version"] == 1
    shutil.rmtree(tmp_path / "chronos")
    predict = (*own, "run=predict", "alias=latest", "predict.output=forecast.parquet")
    code, predicted = run(*predict)
    assert code == 0
    assert predicted["rows"] == 14
    for path in (tmp_path / "state" / "artifacts").rglob("model.safetensors"):
        flipped = bytearray(path.read_bytes())
        flipped[len(flipped) // 2] ^= 1
        path.write_bytes(flipped)
    for words in (predict, (*own, "run=serve", "alias=latest", "serving.port=0")):
        code, refused = run(*words)
        assert code == 3
        assert refused["status"] == "refused"
        assert "state/model.safetensors was changed (sha256 " in refused["error"]
