"""From folders of photographs to a dataset: `dynamicid prepare`.

    scan     which photographs there are, of whom, with which words           (one module per layout)
    look     what the face pack sees in one photograph; kept in a journal     (parallel, resumable)
    choose   which of its faces belongs to the person, by agreement            (over all people at once)
    records  one `PictureRecord` per photograph that is kept
    splits   training and validation
    report   what was kept, what was not, and why: report.json and picture sheets

`run.prepare` is the whole of it in one page.
"""
