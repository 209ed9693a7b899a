"""The report room: takes an AuditResult, gives audit.json, report.html and report.pdf, and the same bytes every time.

It knows `auditkit.result`, `auditkit.errors` and `auditkit.resources`, so that nothing is computed here that is not in
the result: numbers become words (`wording`), rows become tables and figures (`views`, `charts`), sections become pages
(`sections`, `document`). matplotlib and WeasyPrint are loaded by the renderer that needs them, never by this import.

To add a section: one file `templates/sections/<id>.html.j2`, one view in `views/`, one row in `sections.SECTIONS`.
"""
