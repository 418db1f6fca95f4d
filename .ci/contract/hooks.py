"""What Schemathesis can't know of docs/openapi.json by itself: how to make what has a format of ours, and how to write
the kinds of bodies that are not JSON."""

import ipaddress
import json

import schemathesis
from hypothesis import strategies as st


def network(family, first, bits):
    """Networks in canonical form, most of them where the pools of a new database are."""

    def build(address, length):
        return str(ipaddress.ip_network((address, length), strict=False))

    width = 32 if family == 4 else 128
    low = int(ipaddress.ip_address(first))
    address = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    addresses = st.integers(low, low + 2 ** (width - bits) - 1).map(address)
    return st.builds(build, addresses, st.integers(bits, width))


schemathesis.openapi.format(
    "cidr",
    st.one_of(
        network(4, "10.0.0.0", 16), network(4, "100.64.0.0", 10), network(4, "0.0.0.0", 0), network(6, "2001:db8::", 32)
    ),
)

# Tables; what is wrong in one is a matter of the tests of imports.
schemathesis.openapi.media_type(
    "text/csv",
    st.sampled_from(
        [
            b"kind,vrf\nvrf,from-a-file\n",
            b"cidr,vpc,name\n10.0.9.0/24,file,one\n",
            b"kind,cidr,reason\nreservation,192.168.7.0/24,from a file\n",
        ]
    ),
)


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """A record a line."""
    records = value if isinstance(value, list) else [value]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@schemathesis.hook
def map_query(ctx, query):
    """Nobody makes a change while a request waits for one, so it is not to wait for long."""
    wait = str((query or {}).get("wait"))
    if wait.isdecimal() and 1 < int(wait) <= 30:
        # A number or its text: which of the two depends on the phase that makes the request.
        query["wait"] = 1
    return query
