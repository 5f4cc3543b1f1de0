"""The demo's page, on Gradio: the only module that knows it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from colorflow.demo import fragments
from colorflow.demo.examples import CHAPTERS, write_example
from colorflow.demo.studio import Studio
from colorflow.demo.uploads import IN_WORDS, Upload
from colorflow.demo.versions import Session, Version
from colorflow.schema import Page

_STYLE = Path(__file__).resolve().parent.parent / "assets" / "demo" / "demo.css"
_FONT = 'system-ui, -apple-system, "Segoe UI", sans-serif'
_WAITING = 40
_HOUR = 3600

_HEADER = """<header class="cf-head"><span class="cf-plates" aria-hidden="true"><i></i><i></i><i></i></span>
<div><h1>Colour a comic chapter</h1>
<p>Give pages in black and white, and pages of the same story that are in colour already. Each page takes its colours
from the parts of those that look most like it.</p></div></header>"""
_NOT_LOOKED = "Here you will see which parts of the pages in colour this page takes its colours from."
_NOTHING_YET = "Coloured pages appear here."
_KEPT_AS_IT_IS = "This page was in colour already, so it is kept as it is."
_NOTE = (
    '<p class="cf-note">Every downloaded page says in its file that a model coloured it. Uploads and results stay on '
    "the computer that runs this page, and are deleted when it ends.</p>"
)


@contextmanager
def open_page(studio: Studio, host: str = "127.0.0.1", port: int | None = None, share: bool = False) -> Iterator[str]:
    """Serve the page, at the address that is yielded, until the block ends.

    Args:
        studio: Does the work; uploads are kept in its folder.
        host: Address to listen at.
        port: Port; None takes the first free one from 7860.
        share: Also open a public address by Gradio's server.

    Raises:
        OSError: If the port cannot be had.
    """
    with _environment(GRADIO_TEMP_DIR=str(studio.folder / "uploads"), GRADIO_ANALYTICS_ENABLED="False"):
        blocks = DemoPage(studio).blocks.queue(max_size=_WAITING)
        _, local, public = blocks.launch(
            server_name=host,
            server_port=port,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            max_file_size=int(2e6 * studio.limits.megabytes),  # up to there our own words refuse it
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            theme=_theme(),
            css_paths=_STYLE,
            head='<meta name="color-scheme" content="light dark">',
        )
        try:
            yield public or local
        finally:
            blocks.close(verbose=False)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables that Gradio reads whenever it likes."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _theme() -> gr.themes.Base:
    """Fonts of the reader's own system: no others are fetched from anywhere."""
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", radius_size="md", font=("sans-serif",))
    theme.font = _FONT
    return theme


class DemoPage:
    """The parts of the page and what they do.

    Args:
        studio: Does the work.

    Attributes:
        blocks: The page.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        with gr.Blocks(title="ColorFlow", analytics_enabled=False, delete_cache=(_HOUR, 24 * _HOUR)) as self.blocks:
            # by a function: Gradio takes a class for its instance
            self.session = gr.State(lambda: Session(), delete_callback=Session.close)
            gr.HTML(_HEADER)
            with gr.Row(elem_classes="cf-columns"):
                with gr.Column(scale=5, min_width=320):
                    self._lay_out_inputs()
                with gr.Column(scale=7, min_width=320):
                    self._lay_out_results()
            self._connect()

    def _lay_out_inputs(self) -> None:
        with gr.Row(elem_classes="cf-examples"):
            gr.HTML("<p class='cf-note'>Nothing at hand? Try a drawn chapter.</p>")
            self.examples = [gr.Button(f"Example {i + 1}", size="sm", min_width=90) for i in range(len(CHAPTERS))]
        limits = self.studio.limits
        each = f"{IN_WORDS}, each up to {limits.megapixels:g} megapixels and {limits.megabytes:g} MB"
        gr.HTML(
            "<h2>1 &nbsp;Pages to colour</h2>"
            f"<p class='cf-note'>One page or a chapter, up to {limits.pages}. {each}.</p>"
        )
        self.pages = gr.File(label="Pages to colour", file_count="multiple", height=150, elem_id="cf-pages")
        self.pages_note = gr.HTML(elem_id="cf-pages-note")
        gr.HTML(
            "<h2>2 &nbsp;Pages in colour</h2><p class='cf-note'>The same people and places, already coloured: a cover, "
            f"earlier pages, a character sheet. Up to {limits.references}.</p>"
        )
        self.references = gr.File(label="Pages in colour", file_count="multiple", height=150, elem_id="cf-references")
        self.references_note = gr.HTML(elem_id="cf-references-note")
        self.chosen = gr.CheckboxGroup(label="Look at these", choices=[], visible=False, elem_id="cf-chosen")
        gr.HTML("<h2>3 &nbsp;Colour</h2>")
        self.look = gr.Button("Show what it looks at", size="md", elem_id="cf-look")
        with gr.Row(elem_classes="cf-go"):
            self.color = gr.Button("Colour", variant="primary", elem_id="cf-color")
            self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="cf-stop")
        with gr.Row(elem_classes="cf-go"):
            self.seed = gr.Number(
                0, label="Seed", info="Another number, another try", precision=0, minimum=0, elem_id="cf-seed"
            )
            self.again = gr.Button("Colour with next seed", size="md", elem_id="cf-again")
        self.status = gr.HTML(elem_id="cf-status")

    def _lay_out_results(self) -> None:
        with gr.Row(elem_classes="cf-pick"):
            self.version = gr.Dropdown(label="Version", choices=[], min_width=200, elem_id="cf-version")
            self.page = gr.Dropdown(label="Page", choices=[], min_width=200, elem_id="cf-page")
        with gr.Tabs(elem_id="cf-tabs") as self.tabs:
            with gr.Tab("References", id="looks"):
                self.looks = gr.HTML(fragments.notice(_NOT_LOOKED), elem_id="cf-looks")
            with gr.Tab("Result", id="result"):
                self.slider = gr.ImageSlider(
                    show_label=False, interactive=False, max_height=900, buttons=["fullscreen"], elem_id="cf-slider"
                )
            with gr.Tab("All pages", id="all"):
                self.gallery = gr.HTML(fragments.notice(_NOTHING_YET), elem_id="cf-gallery")
        with gr.Row(elem_classes="cf-go"):
            self.zip = gr.DownloadButton("Download the chapter (zip)", size="md", interactive=False, elem_id="cf-zip")
            self.file = gr.DownloadButton("Download this page (PNG)", size="md", interactive=False, elem_id="cf-file")
        gr.HTML(_NOTE)

    def _connect(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private"}
        one_at_a_time = {"concurrency_limit": 1, "concurrency_id": "pipeline", **private}
        view = [self.slider, self.looks, self.file]
        chapter = [self.version, self.page, self.gallery, self.zip, self.tabs]
        aside = {"show_progress": "hidden", **private}
        self.pages.change(self.took_pages, [self.session, self.pages], [self.pages_note, *chapter, *view], **aside)
        self.references.change(
            self.took_references, [self.session, self.references], [self.references_note, self.chosen], **aside
        )
        for number, button in enumerate(self.examples):
            button.click(lambda number=number: self.took_example(number), None, [self.pages, self.references], **aside)
        asked = [self.session, self.chosen, self.seed, self.page]
        self.look.click(
            self.looked, asked, [self.looks, self.tabs, self.status], show_progress_on=self.looks, **one_at_a_time
        )
        colored: Any = self.colored, asked, [self.status, self.stop, *chapter, *view]
        told = {"show_progress_on": self.status, **one_at_a_time}
        self.color.click(*colored, **told)
        self.again.click(lambda seed: int(seed or 0) + 1, self.seed, self.seed, **aside).then(*colored, **told)
        self.stop.click(self.stopped, self.session, self.status, queue=False, **aside)
        picked = [self.session, self.version, self.page]
        self.version.input(self.picked, picked, [*chapter, *view], **aside)
        self.page.input(self.picked, picked, [*chapter, *view], **aside)

    def took_pages(self, session: Session, files: Sequence[str] | None) -> dict[Any, Any]:
        """New pages: another chapter; its versions before stay to be picked."""
        found = self.studio.take_pages(session, files or [])
        names = _names(found.accepted)
        return {
            self.pages_note: fragments.uploads(found, expects_color=False),
            self.version: gr.update(value=None),
            self.page: gr.update(choices=names, value=names[0] if names else None),
            self.gallery: fragments.notice(_NOTHING_YET),
            self.zip: gr.update(value=None, interactive=False),
            **self._view(None, None),
        }

    def took_references(self, session: Session, files: Sequence[str] | None) -> dict[Any, Any]:
        """New references, all of them chosen."""
        found = self.studio.take_references(session, files or [])
        names = _names(found.accepted)
        return {
            self.references_note: fragments.uploads(found, expects_color=True),
            self.chosen: gr.update(choices=names, value=names, visible=len(names) > 1),
        }

    def took_example(self, number: int) -> tuple[list[str], list[str]]:
        """Put a drawn chapter where uploads go."""
        pages, references = write_example(number, self.studio.folder)
        return [str(path) for path in pages], [str(path) for path in references]

    def looked(self, session: Session, chosen: Sequence[str], seed: float | None, name: str | None) -> dict[Any, Any]:
        """Look a page's references up."""
        try:
            shown = self.studio.look_up(session, name, chosen, int(seed or 0))
        except ValueError as error:
            return {self.status: fragments.notice(str(error), "bad")}
        return {self.looks: fragments.looks(shown), self.tabs: gr.update(selected="looks")}

    def colored(
        self,
        session: Session,
        chosen: Sequence[str],
        seed: float | None,
        name: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio finds it as a default)
    ) -> Iterator[dict[Any, Any]]:
        """Colour the chapter; pages appear as they are done."""

        def watch(number: int, count: int, page: Page, done: int, total: int) -> None:
            words = f"Page {number} of {count}, {page.name}: step {done} of {total}"
            progress((number - 1 + done / total) / count, desc=words)

        begun, seen = time.monotonic(), False
        version: Version | None = None
        try:
            for version in self.studio.color(session, chosen, int(seed or 0), watch):
                update = self._chapter(session, version) | {self.stop: gr.update(interactive=True)}
                update[self.status] = fragments.notice("")  # the bar and its words lie over it
                if not seen and name in version.results():
                    seen, update = True, update | self._view(version, name) | {self.tabs: gr.update(selected="result")}
                yield update
        except ValueError as error:
            yield {self.status: fragments.notice(str(error), "bad"), self.stop: gr.update(interactive=False)}
            return
        if version is not None:
            yield self._end(session, version, not seen, time.monotonic() - begun)

    def _end(self, session: Session, version: Version, show: bool, seconds: float) -> dict[Any, Any]:
        """What a finished or stopped version looks like; with ``show`` its first page, as none is shown yet."""
        results = list(version.results())
        update = self._chapter(session, version) | {self.stop: gr.update(interactive=False)}
        update[self.status] = fragments.summary(version, seconds)
        if results:
            update[self.zip] = gr.update(value=str(version.zip()), interactive=True)
        if results and show:
            update |= self._view(version, results[0]) | {self.tabs: gr.update(selected="result")}
            update[self.page] = gr.update(value=results[0])
        return update

    def stopped(self, session: Session) -> str:
        """End the colouring at its next step."""
        session.stop = True
        return fragments.notice("Stopping …")

    def picked(self, session: Session, number: int | None, name: str | None) -> dict[Any, Any]:
        """Another version or page was picked."""
        version = session.version(number)
        if version is None:
            return self._view(None, None)
        names = [page.name for page in version.pages]
        name = name if name in names else names[0]
        update = self._chapter(session, version) | {self.page: gr.update(choices=names, value=name)}
        if version.results():
            update[self.zip] = gr.update(value=str(version.zip()), interactive=True)
        return update | self._view(version, name)

    def _chapter(self, session: Session, version: Version) -> dict[Any, Any]:
        """Versions to pick from, and the pages of one that are done."""
        titles = [(one.title.removeprefix("Version "), one.number) for one in reversed(session.versions)]
        return {
            self.version: gr.update(choices=titles, value=version.number),
            self.gallery: fragments.results(version) or fragments.notice(_NOTHING_YET),
        }

    def _view(self, version: Version | None, name: str | None) -> dict[Any, Any]:
        """One page of a version."""
        results = {} if version is None else version.results()
        if version is None or name not in results:
            nothing = fragments.notice(_NOT_LOOKED)
            return {self.slider: None, self.looks: nothing, self.file: gr.update(value=None, interactive=False)}
        shown = version.shown.get(name)
        looks = fragments.notice(_KEPT_AS_IT_IS) if shown is None else fragments.looks(shown)
        before, after = version.for_screen(name)
        file = gr.update(value=str(results[name]), interactive=True)
        return {self.slider: (str(before), str(after)), self.looks: looks, self.file: file}


def _names(uploads: Sequence[Upload]) -> list[str]:
    return [item.page.name for item in uploads]
