"""What a record is: typed record types, merge policies, access, workflows, places, codes.

Pure rules that the server and every device run alike. Nothing here does I/O.
"""
