"""How the page looks, in light and dark, on a wide window and on a phone. Strings: a wheel takes them along as code."""

STYLE = """
:root { --back: #f7f7f5; --card: #fff; --ink: #1d1f21; --soft: #6b7075; --line: #deded9; --mine: #e4ecf7;
        --accent: #2b5c9e; --bad: #a8261f; --asks: #fdf3dc; }
body.body--dark { --back: #17181a; --card: #212326; --ink: #e6e6e3; --soft: #9a9fa5; --line: #35383c; --mine: #26364c;
        --accent: #8ab4f0; --bad: #f2938c; --asks: #3a3120; }
body, .q-layout, .q-page-container { background: var(--back); color: var(--ink);
        font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 15px; }
.q-header.top, .q-footer.bottom { background: var(--card); color: var(--ink); box-shadow: none; }
.q-header.top { border-bottom: 1px solid var(--line); padding: 4px 12px; gap: 10px; align-items: center; }
.q-footer.bottom { border-top: 1px solid var(--line); padding: 8px 12px; }
.q-drawer { background: var(--card); color: var(--ink); }
.side { padding: 12px; gap: 8px; }
.top .title { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.whose { width: 100%; flex-wrap: nowrap; align-items: center; gap: 4px; }
.grow { flex: 1 1 0; min-width: 0; }
.sessions { width: 100%; gap: 2px; margin-top: 8px; }
a.session { display: flex; width: 100%; gap: 8px; align-items: center; justify-content: space-between; padding: 7px 9px;
        border-radius: 8px; color: var(--ink); text-decoration: none; }
a.session:hover, a.session.here { background: var(--mine); }
a.session .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.status { font-size: 12px; color: var(--soft); white-space: nowrap; }
.status.waiting { color: var(--ink); background: var(--asks); border-radius: 6px; padding: 1px 6px; }
.nicegui-content { padding: 0; width: 100%; }
.talk { width: 100%; max-width: 820px; margin: 0 auto; padding: 16px; gap: 18px; }
.exchanges, .exchange { width: 100%; gap: 8px; }
.exchanges { gap: 18px; }
.asked { align-self: flex-end; max-width: 85%; background: var(--mine); border-radius: 14px 14px 3px 14px;
        padding: 8px 13px; overflow-wrap: anywhere; }
.answer { width: 100%; overflow-wrap: anywhere; line-height: 1.5; }
.answer p { margin: 0 0 .6em; } .answer p:last-child { margin-bottom: 0; }
.answer h1, .answer h2, .answer h3 { font-size: 1.15em; line-height: 1.3; margin: .8em 0 .4em; font-weight: 600; }
.answer ul, .answer ol { margin: 0 0 .6em; padding-left: 1.5em; }
.answer a { color: var(--accent); }
.answer table { border-collapse: collapse; display: block; overflow-x: auto; margin: 0 0 .6em; }
.answer td, .answer th { border: 1px solid var(--line); padding: 3px 9px; text-align: left; }
.answer pre, .question pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
        padding: 9px 11px; overflow-x: auto; margin: .3em 0; }
.answer pre, .answer code, .question pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
.question pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.plain { white-space: pre-wrap; }
.soft, .hint, .steps .q-btn { color: var(--soft); font-size: 13px; }
.hint { padding: 16px; }
.step { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.steps { gap: 2px; }
.problem { color: var(--bad); overflow-wrap: anywhere; }
.question { width: 100%; background: var(--asks); border-radius: 12px; padding: 12px 14px; gap: 8px; }
.question .asks { font-weight: 600; white-space: pre-wrap; overflow-wrap: anywhere; }
.buttons { gap: 8px; align-items: center; width: 100%; }
.working { align-items: center; gap: 8px; color: var(--soft); }
.queue { width: 100%; gap: 4px; border-top: 1px dashed var(--line); padding-top: 10px; }
.queue .row { width: 100%; flex-wrap: nowrap; align-items: center; gap: 8px; }
.queue .begins { flex: 1 1 0; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.composer { width: 100%; max-width: 820px; margin: 0 auto; flex-wrap: nowrap; align-items: flex-end; gap: 8px; }
.composer textarea { max-height: 35vh; }
.wide { width: 100%; }
.hidden { display: none; }
"""

SCRIPT = """
let stuck = true;  // to the newest words, until a person scrolls up
addEventListener("scroll", () => {
  stuck = innerHeight + scrollY >= document.documentElement.scrollHeight - 90;
}, {passive: true});
addEventListener("DOMContentLoaded", () => {
  new ResizeObserver(() => { if (stuck) scrollTo(0, document.documentElement.scrollHeight); }).observe(document.body);
});
"""

SEND_ON_ENTER = "(event) => { if (!event.shiftKey && !event.isComposing) { event.preventDefault(); emit(); } }"
"""Enter sends, Shift and Enter make a line; the Enter that ends a word of Japanese or Chinese does neither."""
