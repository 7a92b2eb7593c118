"""What Azure will refuse, known before it is asked: names, quota, sizes, traffic, fixed fields.

Everything here is pure: a plan and a value of facts in, findings and a capacity table out. The
facts are live where somebody read them with credentials, else the dated tables in ``data``.
"""
