"""Pages for people: what a run, a comparison or a sweep found, as one HTML file.

Each file beside this one makes one part of a page as plain data; ``charts`` says how the charts
look, the templates how the page is put together.
"""
