"""The report's stylesheet. Wide enough for a laptop, and as wide as a landscape page when printed."""

from nasrec_automl.report.style import BLUE, FONT, GREEN, GREY, GRID, INK

STYLESHEET = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 40px 24px 64px; max-width: 1160px; color: {INK}; background: #fff;
  font: 16px/1.55 {FONT}; }}
h1 {{ margin: 0; font-size: 30px; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }}
h2 {{ margin: 48px 0 10px; padding-top: 14px; border-top: 1px solid {GRID}; font-size: 20px;
  break-after: avoid; }}
p, li {{ max-width: 78ch; }}
li {{ margin: 6px 0; }}
code, pre {{ font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }}
pre {{ padding: 12px 16px; background: #f5f7fa; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }}
.subtitle {{ margin: 6px 0 0; color: {GREY}; }}
.lead {{ margin: 22px 0; font-size: 19px; line-height: 1.45; overflow-wrap: anywhere; }}
.numbers {{ display: flex; flex-wrap: wrap; gap: 14px; margin: 0 0 8px; }}
.numbers div {{ display: flex; flex-direction: column-reverse; justify-content: flex-end; flex: 1 1 180px;
  padding: 14px 18px; border: 1px solid {GRID}; border-top: 3px solid {BLUE};
  border-radius: 6px; }}
.numbers dd {{ margin: 0; font-size: 26px; font-weight: 600; line-height: 1.2;
  font-variant-numeric: tabular-nums; }}
.numbers dt {{ color: {GREY}; font-size: 13.5px; }}
table {{ border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums;
  break-inside: avoid; }}
th, td {{ padding: 7px 12px; text-align: right; border-bottom: 1px solid {GRID}; }}
thead th {{ color: {GREY}; font-weight: 600; font-size: 13px; line-height: 1.25; vertical-align: bottom;
  border-bottom-color: {GREY}; }}
th.group {{ text-align: center; border-bottom-color: {GRID}; }}
th[scope=row], td.kind, th.kind, thead th:first-child[rowspan], thead th:nth-child(2)[rowspan] {{ text-align: left; }}
th[scope=row] {{ font-weight: 500; overflow-wrap: anywhere; }}
.results {{ width: 100%; }}
.results .winner > * {{ background: #e6f4ef; }}
.results .winner th {{ box-shadow: inset 4px 0 {GREEN}; }}
.facts th, .facts td {{ padding: 5px 24px 5px 0; text-align: left; vertical-align: top; }}
.facts th {{ color: {GREY}; white-space: nowrap; font-weight: 400; }}
.wide {{ overflow-x: auto; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 18px 22px; }}
.cards div {{ break-inside: avoid; min-width: 0; }}
.cards ol {{ margin: 0; padding: 0; list-style: none; font-size: 13.5px; font-variant-numeric: tabular-nums; }}
.cards li {{ display: flex; gap: 10px; justify-content: space-between; margin: 2px 0; padding: 1px 7px;
  background: linear-gradient(#dcebf5, #dcebf5) no-repeat 0 / var(--share) 100%; border-radius: 3px; }}
.cards li span {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.cards li b {{ flex: none; font-weight: 500; }}
.cards p {{ margin: 4px 0 0; padding: 0 7px; color: {GREY}; font-size: 13px; }}
h3 {{ margin: 26px 0 8px; font-size: 16px; break-after: avoid; }}
.cards h3 {{ margin: 0 0 4px; padding: 0 7px; font-size: 14.5px; overflow-wrap: anywhere; }}
.note {{ color: {GREY}; }}
figure {{ margin: 18px 0 30px; break-inside: avoid; }}
figure.wiring svg {{ display: block; max-width: 100%; height: auto; }}
figcaption {{ margin-top: 8px; color: {GREY}; font-size: 14.5px; max-width: 100ch; }}
@page {{ size: A4 landscape; margin: 12mm; }}
@media print {{ body {{ padding: 0; max-width: none; width: 1112px; zoom: 0.92; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }} .modebar {{ display: none; }} h2 {{ margin-top: 32px; }} }}
"""
