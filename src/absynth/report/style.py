"""How a report looks: one style sheet, light and dark, that stands in the page itself."""

CSS = """
:root{color-scheme:light dark;--ink:#24292f;--soft:#5b6470;--paper:#fff;--line:#dde1e6;--tint:#f5f6f8;--mark:#2f6b9a}
@media (prefers-color-scheme:dark){:root{--ink:#dfe3e8;--soft:#9aa4b0;--paper:#16191d;--line:#333a42;--tint:#1f242a;
--mark:#86b7dd}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
*{box-sizing:border-box}main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .6rem}h3{font-size:1.02rem;margin:1.4rem 0 .4rem}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
p{margin:.5rem 0;max-width:46rem}.soft,caption,figcaption,dt{color:var(--soft)}a{color:var(--mark)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:1rem 0;font-size:.95rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.6rem 0}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:.8rem 0}figure{margin:1rem 0}figcaption{font-size:.9rem;margin-top:.35rem}
img{display:block;max-width:min(100%,42rem);height:auto;background:#fff;border-radius:4px}
.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:0 1.2rem}
table{border-collapse:collapse;font-size:.93rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line)}
caption{text-align:left;font-size:.9rem;padding-bottom:.3rem}
thead th{color:var(--soft);font-weight:600}th[scope=row]{font-weight:500}td.n,th.n{text-align:right}
pre{background:var(--tint);padding:.7rem .9rem;border-radius:4px;overflow-x:auto;font-size:.88rem}
code{font-family:ui-monospace,Menlo,Consolas,monospace}tr[class] td,tr[class] th{background:var(--tint);font-weight:600}
"""
