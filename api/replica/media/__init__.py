"""Pictures and sounds of submissions: fetched where they are only pointed to, judged, and kept by their hash."""
