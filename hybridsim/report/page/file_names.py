"""Names of files in a folder of results."""

PAGE = "page.html"
"""The page of a run, a comparison or a sweep."""
STUDY = "study.json"
"""The study of a sweep."""
