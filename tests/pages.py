"""Pages of the Web UI as its two renderers have them: which elements, which words."""

from collections.abc import Callable
from html.parser import HTMLParser
from http.client import HTTPConnection
from urllib.parse import quote

from markdown_it import MarkdownIt

HOSTILE = [
    "**bold** _it_ __strong__ snake_case `code` ~~gone~~ ~x~",
    "a | b | c",
    "| a | b |\n|---|---|\n| c | d |",
    "# heading",
    ".# special heading",
    "===",
    "<script>alert(1)</script><b>x</b><!-- y --> a < b",
    "[link](http://example.org) ![image](http://example.org/x.png) <http://example.org> http://example.org a@b.org",
    "mailto:a@b.org FTP://example.org www.example.org [a]: http://example.org",
    "line\n\n# next | line\n- item\n> quote\n```\ncode",
    "\\| \\* &lt;b&gt; &amp; &#42; C:\\temp\\",
    "1. one",
    "- item",
    "---",
    "~~~",
    "    indented",
    "Table: caption",
    ": definition",
    "$5 and $6, 1/2 of 3/4, (c) (tm), wait... -- really",
    "{namespace} {workflowId} {runId}",
    "it's \"quoted\" ''",
]
"""What Markdown would act on, one way or another."""

Rendered = tuple[list[str], str]
Renderer = Callable[[str], Rendered]
"""From Markdown to the elements of the page, without the targets of links, and its words, with straight quotes."""

_QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"})
_IDS = ("namespace", "workflowId", "runId")


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs if name not in {"id", "style", "align", "target"}]
        self.elements.append(" ".join([tag, *names]))

    def handle_comment(self, data: str) -> None:
        self.elements.append(f"comment {data}")

    def handle_data(self, data: str) -> None:
        self.words += data


def commonmark(page: str) -> Rendered:
    """As CommonMark with tables and strikethrough has it, which is what other builds of the Web UI render with."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"])
    return _seen(parser.render(page))


class WebUi:
    """As the real Web UI renders the Markdown of a workflow."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)

    def __call__(self, page: str) -> Rendered:
        for name in _IDS:  # as its pages do before they ask for the rendering
            page = page.replace(f"{{{name}}}", f"the-{name}")
        self._connection.request("GET", f"/render?content={quote(page)}&theme=light")
        html = self._connection.getresponse().read().decode()
        return _seen(html.partition("<main>")[2].partition("</main>")[0])

    def close(self) -> None:
        self._connection.close()


def _seen(html: str) -> Rendered:
    page = _Page(html)
    return page.elements, page.words.translate(_QUOTES).strip("\n\t")
