"""The engine for GPUs: Tencent's Hunyuan3D-2.1, driven from a checkout of its code at HUNYUAN_PATH.

`checkout`, `weights` and `presets` import nothing heavy, so that the supervisor, `doctor` and the command line
may use them; the rest is for the worker.
"""
