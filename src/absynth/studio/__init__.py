"""``absynth studio``: trained models in a browser, on this machine.

What the page shows is computed by functions that know no browser (``models``, ``chains``, ``answers``, ``show``), on
what the tasks and samplers compute; ``page`` and ``controls`` lay it out in Gradio, and ``server`` serves it.
"""
