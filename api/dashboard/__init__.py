"""The dashboard: pages for people, at the root of the ingress.

Each page is a route here, a template of its name, and the same calls to the gateway as the API's routes make.
"""
