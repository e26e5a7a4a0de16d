"""Sends a body of sys.argv[2] bytes and prints the status, first with urllib, then with requests."""
import sys
import urllib.error
import urllib.request

url, size = sys.argv[1], int(sys.argv[2])
body, headers = b" " * size, {"Content-Type": "application/json"}
try:
    print(urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30).status)
except urllib.error.HTTPError as e:
    print(e.code)
try:
    import requests
except ImportError:
    sys.exit(0)
print(requests.post(url, data=body, headers=headers, timeout=30).status_code)
