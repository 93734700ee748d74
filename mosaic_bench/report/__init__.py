"""From a store to tables, figures and the page, and to what other programs read. Nothing here imports torch."""
