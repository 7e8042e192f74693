"""The page: controls in tabs, and what each of them calls. Gradio is imported here and in ``server`` alone."""

from __future__ import annotations

import inspect
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]

from absynth.errors import InputError
from absynth.metrics.molecules import PROPERTIES
from absynth.studio import show
from absynth.studio.actions import EDITOR, PAINTED, PARTS, Actions, chain_length
from absynth.studio.chains import MOST_CHAINS, MOST_STEPS
from absynth.studio.models import EXAMPLES, TABS, Catalogue, labels_of
from absynth.studio.turns import Turns

TITLES = {
    "samples": "Samples",
    "fill": "Fill in",
    "walk": "Walk",
    "mix": "Mix",
    "guide": "Molecules",
    "futures": "Futures",
    "anomalies": "Anomalies",
    "training": "Training",
}
"""Title of each tab."""

FEW = {"picture": 1, "video": 2, "voxels": 2}
"""Number of samples at first, of kinds of data whose samples take long; 12 of the others."""

REFRESH = 3.0
"""Seconds between two readings of the curves of a run that trains."""


def one_line(error: Exception) -> str:
    """What to show of an error: the message of a mistake, the kind and the first line of a fault."""
    if isinstance(error, InputError):
        return str(error)
    traceback.print_exception(error, file=sys.stderr)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def build(catalogue: Catalogue) -> gr.Blocks:
    """The page on a catalogue of models."""
    return _Page(Actions(catalogue)).blocks


class _Page:
    def __init__(self, actions: Actions) -> None:
        self.actions, self.turns = actions, Turns()
        self.files = tempfile.TemporaryDirectory(prefix="absynth-studio-")
        self.by_model: list[tuple[Any, Callable[[str, Any, tuple[str, ...]], Any]]] = []
        """Components that depend on the model, and what becomes of each: ``(name, opened or None, tabs) -> value``."""
        names = actions.catalogue.names
        with gr.Blocks(title="absynth studio", analytics_enabled=False, delete_cache=(3600, 3600)) as self.blocks:
            gr.Markdown("# absynth studio")
            self.model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model")
            about = gr.HTML(elem_id="about")
            self.tabs: dict[str, gr.Tab] = {}
            with gr.Tabs() as tabs:  # _choose shows those of a model; one that is on show at first could not be hidden
                for tab in TABS:
                    with gr.Tab(TITLES[tab], id=tab, visible=False) as self.tabs[tab]:
                        getattr(self, f"_{tab}")()
            outputs = [about, tabs, *self.tabs.values(), *(component for component, _ in self.by_model)]
            chosen = gr.on(
                [self.model.change, self.blocks.load], self._choose, [self.model], outputs, api_name="choose",
                show_progress="hidden",
            )  # fmt: skip
            chosen.then(self.draw, self.draw_inputs, self.draw_outputs, show_progress="hidden", api_name=False)
            tabs.select(self._select, None, self.timer, show_progress="hidden", api_name=False)
            self.blocks.unload(self._unload)

    # How actions are called ------------------------------------------------------------------------------------------

    def _call(self, tab: str, action: Callable, answers: int, fields: dict[str, Any] | None = None) -> Callable:
        """An action whose mistakes are one line and whose older calls stop; its last answer is that line."""

        def answer(request: gr.Request, *given):
            session = request.session_hash or "api"
            current = self.turns.begin(session, tab)
            nothing = [gr.skip()] * (answers - 1)
            try:
                found = action(*given)
                steps = found if inspect.isgenerator(found) else [found]
                for *shown, line in steps:
                    if not current():
                        return
                    yield (*("" if v is None else v for v in shown), show.message(line))
            except Exception as error:  # whatever a model does, the page stays
                yield (*nothing, show.message(one_line(error), error=True))

        return answer

    def _on(self, triggers: list, tab: str, action: Callable, inputs: list, outputs: list) -> Any:
        call = self._call(tab, action, len(outputs))
        gr.on(triggers, call, inputs, outputs, show_progress="hidden", trigger_mode="multiple", api_name=tab)
        return call

    def _choose(self, name):
        """What changes with the model."""
        try:
            tabs = self.actions.catalogue.tabs(name)
            opened = self.actions.catalogue.open(name) if tabs != ("training",) else None
            line, wrong = self.actions.catalogue.describe(name), False
        except Exception as error:
            tabs, opened, line, wrong = (), None, one_line(error), True
        updates = [show.message(line, error=wrong), gr.Tabs(selected=tabs[0] if tabs else None)]
        updates += [gr.Tab(visible=tab in tabs) for tab in TABS]
        for _, update in self.by_model:
            try:
                updates.append(update(name, opened, tabs))
            except InputError as error:  # the data are not at hand, say: the other parts of the page go on
                print(f"absynth studio: {' '.join(str(error).split())}", file=sys.stderr)
                updates.append(gr.skip())
        return updates

    def _select(self, event: gr.SelectData):
        return gr.Timer(active=event.value == TITLES["training"])

    def _unload(self, request: gr.Request):
        self.turns.end(request.session_hash or "api")

    def _follow(self, component: Any, update: Callable[[str, Any, tuple[str, ...]], Any]) -> Any:
        self.by_model.append((component, update))
        return component

    # Tabs ------------------------------------------------------------------------------------------------------------

    def _chain_sliders(self) -> tuple[Any, Any]:
        """Step size and length of the chain, as the model was trained with them at first."""
        step = gr.Slider(0.1, 3, 1, step=0.05, label="Step size", info="1 is as in training")
        steps = gr.Slider(0, MOST_STEPS, 0, step=1, label="Chain length", info="steps of the sampler")

        def length(name, opened, tabs):
            found = _length(opened, tabs)
            return gr.Slider(maximum=min(max(10 * found, 100), MOST_STEPS), value=found, interactive=found > 0)

        self._follow(step, lambda name, opened, tabs: gr.Slider(value=1, interactive=_length(opened, tabs) > 0))
        self._follow(steps, length)
        return step, steps

    def _samples(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                n = gr.Slider(1, MOST_CHAINS, 12, step=1, label="Samples")
                label = gr.Dropdown([("all in turn", -1)], value=-1, label="Class", visible=False)
                step, steps = self._chain_sliders()
                temperature = gr.Slider(0, 4, 1, step=0.05, label="Temperature", info="1 is as in training")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                again = gr.Button("Draw again", variant="primary")
                line = gr.HTML()
            with gr.Column(scale=3, min_width=280):
                shown = gr.HTML(elem_id="samples")
                curves = gr.HTML(elem_id="curves")

        def classes(name, opened, tabs):
            found = labels_of(opened) if "samples" in tabs else []
            return gr.Dropdown([("all in turn", -1), *found], value=-1, visible=bool(found))

        def count(name, opened, tabs):
            return gr.Slider(value=12 if opened is None else FEW.get(opened.data.kind, 12))

        self._follow(label, classes)
        self._follow(temperature, lambda name, opened, tabs: gr.Slider(value=1, interactive=_length(opened, tabs) > 0))
        self._follow(n, count)
        self.draw_inputs, self.draw_outputs = (
            [self.model, n, label, step, temperature, steps, seed],
            [shown, curves, line],
        )
        triggers = [slider.release for slider in (n, step, temperature, steps)] + [label.input, seed.submit]
        again.click(lambda seed: int(seed or 0) + 1, seed, seed, show_progress="hidden", api_name=False).then(
            self._call("samples", self._sample, 3), self.draw_inputs, self.draw_outputs, show_progress="hidden",
            api_name=False,
        )  # fmt: skip
        self._on(triggers, "samples", self._sample, self.draw_inputs, self.draw_outputs)
        self.draw = self._call("samples", self._sample_if, 3)

    def _sample(self, name, n, label, step, temperature, steps, seed):
        return self.actions.sample(name, int(n), int(label), float(step), float(temperature), int(steps), int(seed))

    def _sample_if(self, name, *given):
        """Samples when a model was chosen, where it draws any."""
        if "samples" in self.actions.catalogue.tabs(name):
            return self._sample(name, *given)
        return "", "", ""

    def _fill(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                chosen = gr.HTML()
                number = gr.Slider(1, EXAMPLES, 1, step=1, label="Image")
                gr.Markdown("Paint over what is to be filled, or drop an image of yours first.")
                editor = gr.ImageEditor(
                    type="pil", label="Paint", layers=False,
                    sources=("upload", "clipboard"), transforms=(), canvas_size=(EDITOR, EDITOR), height=EDITOR + 90,
                    brush=gr.Brush(default_size=40, colors=["#c8553d"], default_color="#c8553d", color_mode="fixed"),
                    buttons=[],
                )  # fmt: skip
                part = gr.Radio(PARTS, value=PAINTED, label="Fill")
                n = gr.Slider(1, 16, 7, step=1, label="Draws")
                steps = gr.Slider(0, MOST_STEPS, 0, step=10, label="Chain length", info="0 is as in training")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                go = gr.Button("Fill", variant="primary")
            with gr.Column(scale=3, min_width=280):
                shown, line = gr.HTML(elem_id="filled"), gr.HTML()

        def example(name, number=1):
            return {"background": self.actions.example(name, int(number)), "layers": [], "composite": None}

        self._follow(chosen, lambda name, opened, tabs: self.actions.examples(name) if "fill" in tabs else "")
        self._follow(editor, lambda name, opened, tabs: example(name) if "fill" in tabs else None)
        number.release(example, [self.model, number], editor, show_progress="hidden", api_name=False)

        def fill(name, value, part, n, steps, seed):
            value = value or {}
            layers = value.get("layers") or [None]
            return self.actions.fill(name, value.get("background"), layers[0], part, int(n), int(steps), int(seed))

        self._on([go.click], "fill", fill, [self.model, editor, part, n, steps, seed], [shown, line])

    def _walk(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                chosen = gr.HTML()
                first = gr.Slider(1, EXAMPLES, 1, step=1, label="From image")
                second = gr.Slider(1, EXAMPLES, 2, step=1, label="To image")
                points = gr.Slider(2, 24, 8, step=1, label="Points on the way")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                go = gr.Button("Walk", variant="primary")
            with gr.Column(scale=3, min_width=280):
                shown, line = gr.HTML(elem_id="walked"), gr.HTML()
        self._follow(chosen, lambda name, opened, tabs: self.actions.examples(name) if "walk" in tabs else "")

        def walk(name, first, second, points, seed):
            return self.actions.walk(name, int(first), int(second), int(points), int(seed))

        triggers = [go.click, first.release, second.release, points.release]
        self._on(triggers, "walk", walk, [self.model, first, second, points, seed], [shown, line])

    def _mix(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                names = self.actions.catalogue.names
                other = gr.Dropdown(names, label="Multiply with the density of")
                weight = gr.Slider(-2, 3, 1, step=0.1, label="Weight of the model above")
                weight_other = gr.Slider(-2, 3, 1, step=0.1, label="Weight of the other model")
                n = gr.Slider(1, MOST_CHAINS, 12, step=1, label="Samples")
                step, steps = self._chain_sliders()
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                go = gr.Button("Mix", variant="primary")
                line = gr.HTML()
            with gr.Column(scale=3, min_width=280):
                shown, curves = gr.HTML(elem_id="mixed"), gr.HTML()

        def partners(name, opened, tabs):
            found = self.actions.catalogue.partners(name) if "mix" in tabs else []
            return gr.Dropdown(found, value=found[0] if found else None)

        def mix(name, other, weight, weight_other, n, step, steps, seed):
            weights = float(weight), float(weight_other)
            return self.actions.mix(name, other or "", weights, int(n), float(step), int(steps), int(seed))

        self._follow(other, partners)
        triggers = [go.click, *(slider.release for slider in (weight, weight_other, n, step, steps))]
        inputs = [self.model, other, weight, weight_other, n, step, steps, seed]
        self._on(triggers, "mix", mix, inputs, [shown, curves, line])

    def _guide(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                wanted = gr.Radio(PROPERTIES, value="logP", label="Property")
                value = gr.Number(4, label="Wanted value")
                n = gr.Slider(1, MOST_CHAINS, 24, step=1, label="Molecules")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                go = gr.Button("Guide", variant="primary")
                gr.Markdown("The first time, the property is learned from the training molecules: about ten seconds.")
                line = gr.HTML()
            with gr.Column(scale=3, min_width=280):
                shown = gr.HTML(elem_id="molecules")

        def guide(name, wanted, value, n, seed):
            yield gr.skip(), f"learning to predict {wanted}, then guiding …"
            yield self.actions.guide(name, wanted, float(value), int(n), int(seed))

        self._on([go.click], "guide", guide, [self.model, wanted, value, n, seed], [shown, line])

    def _futures(self) -> None:
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                scene = gr.Image(
                    type="pil", interactive=False, buttons=[], elem_id="scene",
                    label="Click where the agent came from, then on, point by point",
                )  # fmt: skip
            with gr.Column(scale=2, min_width=280):
                points = gr.Textbox("", lines=3, label="Its past", info="x, y of each point, between semicolons")
                k = gr.Slider(1, MOST_CHAINS, 20, step=1, label="Futures")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                with gr.Row():
                    clear = gr.Button("Clear")
                    go = gr.Button("Predict", variant="primary")
                line = gr.HTML()

        def ordinary(name, opened, tabs):
            """A walk straight on, so that there is something to see."""
            if "futures" not in tabs:
                return ""
            step = opened.data.unit_length
            return "; ".join(f"{k * step:.3g}, 0" for k in range(1 - opened.data.past, 1))

        def click(name, text, event: gr.SelectData):
            return self.actions.add_point(name, text, *event.index)

        def drawn(name, text):
            return self.actions.scene(name, text), ""

        def futures(name, text, k, seed):
            return self.actions.futures(name, text, int(k), int(seed))

        def blank(name, opened, tabs):
            return self.actions.scene(name, "") if "futures" in tabs else None

        self._follow(points, ordinary)
        self._follow(scene, blank)
        outputs = [scene, line]
        redraw = self._call("futures", drawn, 2)
        clicked = scene.select(click, [self.model, points], points, show_progress="hidden", api_name=False)
        clicked.then(redraw, [self.model, points], outputs, show_progress="hidden", api_name=False)
        cleared = clear.click(lambda: "", None, points, show_progress="hidden", api_name=False)
        cleared.then(redraw, [self.model, points], outputs, show_progress="hidden", api_name=False)
        self._on([go.click, points.submit, k.release], "futures", futures, [self.model, points, k, seed], outputs)

    def _anomalies(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                file = gr.File(
                    label="A table with the columns of the training table (CSV or Parquet); none: its own test rows",
                    file_types=[".csv", ".tsv", ".parquet"], type="filepath",
                )  # fmt: skip
                share = gr.Slider(0.01, 0.5, 0.1, step=0.01, label="Share of the training rows above the threshold")
                go = gr.Button("Score", variant="primary")
                line = gr.HTML()
                saved = gr.File(label="Scores of all rows", interactive=False)
            with gr.Column(scale=3, min_width=280):
                shown = gr.HTML(elem_id="anomalies")

        def score(name, file, share):
            place = Path(tempfile.mkdtemp(dir=self.files.name))
            found, written, said = self.actions.anomalies(name, file or "", float(share), place)
            return found, str(written), said

        self._on([go.click, file.upload], "anomalies", score, [self.model, file, share], [shown, saved, line])

    def _training(self) -> None:
        line, curves = gr.HTML(), gr.HTML(elem_id="training")
        refresh = gr.Button("Read again")
        self.timer = gr.Timer(REFRESH, active=False)

        call = self._call("training", self.actions.training, 2)
        self._follow(curves, lambda name, opened, tabs: self.actions.training(name)[0] if "training" in tabs else "")
        gr.on(
            [refresh.click, self.timer.tick], call, [self.model], [curves, line], show_progress="hidden",
            api_name="training",
        )  # fmt: skip


def _length(opened: Any, tabs: tuple[str, ...]) -> int:
    """Steps of the chain that the sliders change; 0 where there is none, or no tab that runs it."""
    return chain_length(opened) if {"samples", "mix"} & {*tabs} else 0
