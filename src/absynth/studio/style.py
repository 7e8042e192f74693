"""How what the page shows looks, beside Gradio's own styles; colours follow the page, light or dark."""

CSS = """
.studio-picture{margin:0}.studio-picture img{width:100%;max-width:34rem;image-rendering:pixelated;border-radius:6px}
figcaption{font-size:.85rem;opacity:.8;margin:.3rem 0}
.studio-numbered{display:grid;grid-template-columns:repeat(6,1fr);gap:6px;max-width:34rem}
.studio-numbered figure{margin:0;text-align:center}.studio-numbered figcaption{margin:0}
.studio-numbered img{width:100%;image-rendering:pixelated;border-radius:4px}
.studio-curves{margin:0 0 .8rem;max-width:34rem}.studio-curves svg{width:100%;height:auto;display:block}
.dark .studio-curves polyline,.dark .studio-curves polygon{filter:brightness(1.8)}
.studio-curves text{font-size:13px;fill:currentColor;opacity:.8}
.studio-legend{display:flex;flex-wrap:wrap;gap:.1rem .9rem;font-size:.82rem}
.studio-legend span::before{content:"";display:inline-block;width:.8em;height:.2em;margin-right:.4em;
vertical-align:middle;background:var(--hue)}
.studio-note{margin:.2rem 0;font-size:.9rem;opacity:.85;overflow-wrap:anywhere}
.studio-error{margin:.2rem 0;padding:.5rem .7rem;border-left:4px solid #c8553d;overflow-wrap:anywhere}
.wide{overflow-x:auto}.wide table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
.wide caption{text-align:left;font-size:.85rem;opacity:.8;padding-bottom:.3rem}
.wide td,.wide th{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--border-color-primary)}
.wide td.n,.wide th.n{text-align:right}
:focus-visible{outline:2px solid #3b82f6!important;outline-offset:2px}
@media (max-width:640px){.gradio-container{padding:8px!important}}
"""
