"""One page over any set of runs, made from their files alone: what was found first, then what it rests on.

A section of the page is a list of blocks (`blocks`): figures, tables, galleries and sentences. The modules named for a
kind of run make sections; `render_page` turns them into one HTML file that asks for nothing else.
"""
