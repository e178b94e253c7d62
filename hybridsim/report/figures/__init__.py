"""Figures for print: each is a table first, then a drawing."""
