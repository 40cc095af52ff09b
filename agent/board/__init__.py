"""The station's own web server: handhelds scan, choose and claim here. Loaded only where ``[board]`` is configured."""
