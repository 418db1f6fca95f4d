"""The whole life of every noun through the client that openapi-python-client made of docs/openapi.json.

    client.py http://127.0.0.1:8000 KEY    with the package `ipam_client` in PYTHONPATH, on an empty database

The client knows nothing but the document. It refuses statuses that the document does not have and replies without fields
that it promises; here it is checked beside that no reply has a field too many, that each value has the type that the
client says, and that headers are there. So a document that is wrong fails here.
"""

import enum
import http.server
import json
import sys
import threading
import time
import types
import typing
from uuid import UUID

from ipam_client import AuthenticatedClient
from ipam_client.api.allocations import (
    create_allocation,
    create_allocations,
    delete_allocation,
    get_allocation,
    list_allocations,
    update_allocation,
)
from ipam_client.api.confirmations import confirm_claims, take_over
from ipam_client.api.history import follow_events, get_events_head, list_events, list_history, lookup
from ipam_client.api.pools import (
    create_pool,
    delete_pool,
    draw_pool,
    get_pool,
    get_pool_free,
    list_pools,
    paint_pool,
    update_pool,
)
from ipam_client.api.profiles import create_profile, delete_profile, get_profile, list_profiles, update_profile
from ipam_client.api.reservations import (
    create_reservation,
    delete_reservation,
    get_reservation,
    list_reservations,
    update_reservation,
)
from ipam_client.api.server import get_proof
from ipam_client.api.tokens import create_token, delete_token, get_token, list_tokens, update_token, whoami
from ipam_client.api.transfer import export_plan, import_plan
from ipam_client.api.vpcs import create_vpc, delete_vpc, get_vpc, list_vpcs, update_vpc
from ipam_client.api.vrfs import create_vrf, delete_vrf, get_vrf, list_vrfs, update_vrf
from ipam_client.api.webhooks import (
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
    resume_webhook,
    rotate_webhook,
    test_webhook,
    update_webhook,
)
from ipam_client.models import (
    AllocationPatch,
    Code,
    Confirmation,
    Confirmations,
    ConfirmationStatus,
    ExportPlanFormat,
    Family,
    HolderKind,
    Kind,
    Labels,
    Limits,
    NewAllocation,
    NewBatch,
    NewMember,
    NewPool,
    NewProfile,
    NewReservation,
    NewToken,
    NewVpc,
    NewVrf,
    NewWebhook,
    Noun,
    PoolPatch,
    Problem,
    ProfilePatch,
    Quotas,
    Record,
    RequiredLabels,
    ReservationPatch,
    Role,
    Strategy,
    TokenPatch,
    VpcPatch,
    VrfPatch,
    WebhookPatch,
    WebhookResumption,
    NewWebhookSecret,
)
from ipam_client.types import UNSET, Unset
from standardwebhooks import Webhook as Verifier

URL, KEY = sys.argv[1:]
client = AuthenticatedClient(
    URL, KEY, auth_header_name="X-API-Key", prefix="", raise_on_unexpected_status=True, timeout=30
)
UNKNOWN = UUID("019ac0de-5d3a-7c55-9a4e-2f1d6a0b7c11")
# What holds whatever keys somebody chose.
FREE = ("Labels", "Quotas", "RequiredLabels", "EventDetail", "BTreeMap")


def labels(**pairs):
    return Labels.from_dict(pairs)


def fits(value, hint):
    """Whether a value is of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, choice) for choice in arguments)
    if origin is list:
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(item, arguments[1]) for item in value.values())
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def check(value, at):
    """Checks a value that came back, and all that is in it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            check(item, f"{at}[{index}]")
    elif hasattr(value, "to_dict") and not isinstance(value, enum.Enum):
        kind = type(value)
        module = vars(sys.modules[kind.__module__])
        every = vars(sys.modules["ipam_client.models"])
        hints = typing.get_type_hints(kind, {**every, **module, "Unset": Unset})
        for name, hint in hints.items():
            if name == "additional_properties":
                extra = getattr(value, name, {})
                assert not extra or kind.__name__ in FREE, f"{at}: the document has no {list(extra)}"
                continue
            field = getattr(value, name)
            assert fits(field, hint), f"{at}.{name} is {field!r}, not {hint}"
            check(field, f"{at}.{name}")


def ok(reply, status):
    """The body of a success."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.content!r}"
    assert reply.headers["x-request-id"]
    check(reply.parsed, type(reply.parsed).__name__)
    if hasattr(reply.parsed, "revision"):
        # Of a read it goes on with a hash of the body.
        revision = reply.headers["etag"].strip('"').split("-")[0]
        assert revision == str(reply.parsed.revision), reply.headers
    if status == 201:
        found = client.get_httpx_client().get(reply.headers["location"])
        assert found.status_code == 200 and found.json()["id"] == str(reply.parsed.id), found.text
    if status == 204:
        assert not reply.content
    return reply.parsed


def refused(reply, code):
    """The problem of a refusal."""
    problem = reply.parsed
    assert isinstance(problem, Problem), f"{reply.status_code}: {reply.content!r}"
    check(problem, "Problem")
    assert (problem.code, problem.status) == (code, reply.status_code), problem
    assert problem.request_id == reply.headers["x-request-id"]
    return problem


def linked(call, limit, filters):
    """All items of a list, by the links between its pages."""
    http = client.get_httpx_client()
    reply, items = http.request(**call._get_kwargs(limit=limit, **filters)), []
    while True:
        assert reply.status_code == 200, reply.text
        items += reply.json()["items"]
        if "next" not in reply.links:
            return items
        reply = http.get(reply.url.join(reply.links["next"]["url"]))


def pages(call, **filters):
    """All items of a list in pages of one, which are those of one large page."""
    whole = ok(call.sync_detailed(client=client, **filters), 200)
    items, cursor = [], UNSET
    while True:
        page = ok(call.sync_detailed(client=client, limit=1, cursor=cursor, **filters), 200)
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(items) <= len(whole.items), "pages without end"
    one_by_one, at_once = ([item.to_dict() for item in found] for found in (items, whole.items))
    assert one_by_one == at_once, f"pages of one have {one_by_one}, a large page {at_once}"
    assert linked(call, 1, filters) == linked(call, 1000, filters)
    refused(call.sync_detailed(client=client, cursor="not of a page", **filters), Code.INVALID_REQUEST)
    refused(call.sync_detailed(client=client, limit=0, **filters), Code.INVALID_REQUEST)
    return items


def change(call, key, old, patch, field, value):
    """Changes something with its ETag: with an old one it is refused, with the new one it is done."""
    refused(call.sync_detailed(key, client=client, body=patch, if_match='"999"'), Code.STALE)
    new = ok(call.sync_detailed(key, client=client, body=patch, if_match=f'"{old.revision}"'), 200)
    assert (getattr(new, field), new.revision) == (value, old.revision + 1), new
    refused(call.sync_detailed(key, client=client, body=patch, if_match=f'"{old.revision}"'), Code.STALE)
    refused(call.sync_detailed(key, client=client, body=patch, if_match="3"), Code.INVALID_REQUEST)
    return new


def gone(get, delete, key, id_, status=204):
    """Deletes something, with what is answered from then on."""
    ok(delete.sync_detailed(key, client=client), status)
    assert refused(get.sync_detailed(id_, client=client), Code.GONE).details["deleted_by"]
    refused(delete.sync_detailed(id_, client=client), Code.GONE)
    unknown = type(id_)(str(UNKNOWN))
    refused(get.sync_detailed(unknown, client=client), Code.NOT_FOUND)
    refused(delete.sync_detailed(unknown, client=client), Code.NOT_FOUND)


def unclaimed(made):
    """What a creation answered, as a reader sees it."""
    assert made.claim is not UNSET, made
    shown = type(made).from_dict(made.to_dict())
    shown.claim = UNSET
    return shown


def vrf():
    # A run that ended in the middle has left it, and a creation would answer it.
    delete_vrf.sync_detailed("dev", client=client)
    made = ok(create_vrf.sync_detailed(client=client, body=NewVrf("dev", labels=labels(env="dev"))), 201)
    assert (made.name, made.labels["env"], made.pools) == ("dev", "dev", 0)
    refused(create_vrf.sync_detailed(client=client, body=NewVrf("dev"), ipam_owner="other"), Code.CLAIMED)
    refused(create_vrf.sync_detailed(client=client, body=NewVrf("a/b")), Code.INVALID_REQUEST)
    # A null of a reply may be sent back.
    ok(create_vrf.sync_detailed(client=client, body=NewVrf("lab", description=None, labels=None)), 201)
    assert ok(get_vrf.sync_detailed("dev", client=client), 200) == unclaimed(made)
    read = get_vrf.sync_detailed(str(made.id), client=client)
    assert ok(read, 200) == unclaimed(made)
    again = get_vrf.sync_detailed("dev", client=client, if_none_match=read.headers["etag"])
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", read.headers["etag"])
    assert sorted(found.name for found in pages(list_vrfs)) == ["default", "dev", "lab"]
    assert [found.name for found in pages(list_vrfs, name="dev")] == ["dev"]
    changed = change(update_vrf, "dev", made, VrfPatch(description="for tests"), "description", "for tests")
    assert changed.labels == made.labels
    refused(delete_vrf.sync_detailed("default", client=client), Code.INVALID_REQUEST)
    lab = ok(get_vrf.sync_detailed("lab", client=client), 200)
    gone(get_vrf, delete_vrf, "lab", str(lab.id))


def pool():
    new = NewPool(
        "large",
        vrf="dev",
        ranges=["10.0.0.0/16", "10.2.0.0/16"],
        min_prefix_length=18,
        default_prefix_length=24,
        strategy=Strategy.FIRST_FIT,
        labels=labels(tier="large"),
        required_labels=RequiredLabels.from_dict({"team": ["a", "b"]}),
    )
    made = ok(create_pool.sync_detailed(client=client, body=new), 201)
    assert (made.family, made.total_addresses, made.utilisation) == (Family.IPV4, 131072, 0)
    assert made.required_labels["team"] == ["a", "b"]
    refused(create_pool.sync_detailed(client=client, body=new, ipam_adopt="never"), Code.CLAIMED)
    overlap = NewPool("other", vrf="dev", ranges=["10.2.128.0/17"])
    refused(create_pool.sync_detailed(client=client, body=overlap), Code.OVERLAP)
    refused(create_pool.sync_detailed(client=client, body=NewPool("x", vrf="none", family=Family.IPV6)), Code.NOT_FOUND)
    refused(create_pool.sync_detailed(client=client, body=NewPool("x")), Code.INVALID_REQUEST)
    six = NewPool("six", vrf="dev", ranges=["2001:db8::/32"])
    six = ok(create_pool.sync_detailed(client=client, body=six), 201)
    assert (six.family, six.total_addresses) == (Family.IPV6, 2**96)
    assert ok(get_pool.sync_detailed("large", client=client), 200) == unclaimed(made)
    assert [found.name for found in pages(list_pools, vrf="dev")] == ["large", "six"]
    assert [found.name for found in pages(list_pools, label="tier=large")] == ["large"]
    refused(list_pools.sync_detailed(client=client, vrf="none"), Code.NOT_FOUND)
    made = change(update_pool, "large", made, PoolPatch(default_prefix_length=None), "default_prefix_length", None)
    made = change(update_pool, "large", made, PoolPatch(required_labels=RequiredLabels()), "required_labels", RequiredLabels())

    # A pool that is cut from it.
    new = NewPool("child", vrf="dev", parent="large", range_prefix_lengths=[20], ranges=["10.2.0.0/20"])
    child = ok(create_pool.sync_detailed(client=client, body=new), 201)
    assert (child.parent, child.parent_id, child.ranges) == ("large", made.id, ["10.0.0.0/20", "10.2.0.0/20"])
    assert [found.name for found in pages(list_pools, parent="large")] == ["child"]
    free = ok(get_pool_free.sync_detailed("large", client=client, prefix_length=18), 200)
    assert (free.fits, free.next_, free.fix) == (6, "10.0.64.0/18", None)
    free = ok(get_pool_free.sync_detailed("child", client=client, prefix_length=19), 200)
    assert (free.fits, free.fix.add_range_prefix_length) == (0, 19)
    refused(get_pool_free.sync_detailed("child", client=client, prefix_length=200), Code.INVALID_REQUEST)
    # The generator knows no pictures, so it has the request and not the answer.
    http = client.get_httpx_client()
    drawn = http.request(**draw_pool._get_kwargs("large", highlight="10.0.64.0/18,10.0.0.0/20"))
    assert drawn.status_code == 200 and drawn.content.startswith(b"<svg ") and b"pool child" in drawn.content, drawn
    painted = http.request(**paint_pool._get_kwargs("large"))
    assert painted.status_code == 200 and painted.content.startswith(b"\x89PNG"), painted.headers
    refused(draw_pool.sync_detailed("large", client=client, highlight="192.0.2.0/24"), Code.INVALID_REQUEST)
    child = change(update_pool, "child", child, PoolPatch(ranges=["10.0.0.0/20"]), "ranges", ["10.0.0.0/20"])
    child = change(
        update_pool, "child", child, PoolPatch(add_range_prefix_lengths=[22]), "ranges", ["10.0.0.0/20", "10.0.16.0/22"]
    )
    assert refused(delete_pool.sync_detailed("large", client=client), Code.IN_USE).details["users"]
    gone(get_pool, delete_pool, "child", str(child.id))
    gone(get_pool, delete_pool, "six", str(six.id))


def profile():
    members = [
        NewMember(role="node", pool="large"),
        NewMember(role="link", pool="large", size_offset=None, min_prefix_length=28, max_prefix_length=28),
    ]
    made = ok(create_profile.sync_detailed(client=client, body=NewProfile(name="pair", members=members)), 201)
    assert [(m.role, m.size_offset, m.max_prefix_length) for m in made.members] == [("node", 0, 128), ("link", 0, 28)]
    refused(create_profile.sync_detailed(client=client, body=NewProfile(name="pair", members=members[:1])), Code.NAME_TAKEN)
    refused(create_profile.sync_detailed(client=client, body=NewProfile(name="none", members=[])), Code.INVALID_REQUEST)
    assert ok(get_profile.sync_detailed("pair", client=client), 200) == unclaimed(made)
    assert sorted(found.name for found in pages(list_profiles)) == ["node-pod", "pair"]
    change(update_profile, "pair", made, ProfilePatch(description="two blocks"), "description", "two blocks")
    spare = ok(create_profile.sync_detailed(client=client, body=NewProfile(name="spare", members=members)), 201)
    gone(get_profile, delete_profile, "spare", str(spare.id))


def vpc():
    made = ok(create_vpc.sync_detailed(client=client, body=NewVpc("Team-X", vrf="dev")), 201)
    assert (made.vrf, made.allocations, made.description) == ("dev", 0, "")
    refused(create_vpc.sync_detailed(client=client, body=NewVpc("team-x")), Code.NAME_TAKEN)
    refused(create_vpc.sync_detailed(client=client, body=NewVpc("y", vrf="none")), Code.NOT_FOUND)
    assert ok(get_vpc.sync_detailed("team-X", client=client), 200) == unclaimed(made)
    other = ok(create_vpc.sync_detailed(client=client, body=NewVpc("other")), 201)
    assert [found.name for found in pages(list_vpcs)] == ["Team-X", "other"]
    made = change(update_vpc, "team-x", made, VpcPatch(name="team-x"), "name", "team-x")
    change(update_vpc, str(made.id), made, VpcPatch(labels=labels(a="b")), "labels", labels(a="b"))
    ok(delete_vpc.sync_detailed("other", client=client, if_match=f'"{other.revision}"'), 200)
    refused(get_vpc.sync_detailed(str(other.id), client=client), Code.GONE)
    refused(get_vpc.sync_detailed("other", client=client), Code.NOT_FOUND)


def reservation():
    new = NewReservation(cidr="10.2.0.0/24", reason="on-premises", vrf="dev", labels=labels(site="berlin"))
    made = ok(create_reservation.sync_detailed(client=client, body=new), 201)
    assert (made.pools, made.created_by) == (["large"], "admin")
    again = ok(create_reservation.sync_detailed(client=client, body=new), 200)
    assert again.id == made.id and again.claim_digest != made.claim_digest, again
    made = again
    inside = NewReservation(cidr="10.2.0.0/25", reason="another", vrf="dev")
    refusal = refused(create_reservation.sync_detailed(client=client, body=inside), Code.OVERLAP)
    assert refusal.details["conflicts"][0]["reason"] == "on-premises"
    refused(create_reservation.sync_detailed(client=client, body=NewReservation(cidr="10.2.0.1/24", reason="x")), Code.INVALID_REQUEST)
    assert ok(get_reservation.sync_detailed(made.id, client=client), 200) == unclaimed(made)
    outside = ok(create_reservation.sync_detailed(client=client, body=NewReservation(cidr="192.168.0.0/16", reason="legacy")), 201)
    assert [found.cidr for found in pages(list_reservations)] == ["10.2.0.0/24", "192.168.0.0/16"]
    for filters in ({"vrf": "dev"}, {"pool": "large"}, {"label": "site=berlin"}, {"contains": "10.2.0.7"}, {"within": "10.2.0.0/16"}):
        assert [found.id for found in pages(list_reservations, **filters)] == [made.id], filters
    refused(list_reservations.sync_detailed(client=client, pool="none"), Code.NOT_FOUND)
    change(update_reservation, made.id, made, ReservationPatch(reason="moved"), "reason", "moved")
    gone(get_reservation, delete_reservation, outside.id, outside.id)


def allocation():
    new = NewAllocation("team-x", name="web", profile="pair", prefix_length=24, labels=labels(env="prod"))
    new.dry_run = True
    tried = ok(create_allocation.sync_detailed(client=client, body=new), 200)
    assert pages(list_allocations) == []
    new.dry_run = UNSET
    made = ok(create_allocation.sync_detailed(client=client, body=new), 201)
    assert [block.cidr for block in made.blocks] == [block.cidr for block in tried.blocks] == ["10.0.0.0/24", "10.0.1.0/28"]
    assert (made.vrf, made.profile, made.requested_prefix_length, made.blocks[0].usable) == ("dev", "pair", 24, 251)
    again = ok(create_allocation.sync_detailed(client=client, body=new), 200)
    assert (again.id, again.claim != made.claim) == (made.id, True)
    # Who shows the claim owns it from then on.
    refused(get_allocation.sync_detailed(made.id, client=client, ipam_claim=str(made.claim)), Code.CLAIMED)
    found = ok(get_allocation.sync_detailed(made.id, client=client, ipam_claim=str(again.claim)), 200)
    assert found.claim is UNSET
    assert refused(create_allocation.sync_detailed(client=client, body=new), Code.CLAIMED).details["import_id"]
    refused(create_allocation.sync_detailed(client=client, body=NewAllocation("a", hosts=5, prefix_length=9)), Code.INVALID_REQUEST)
    refused(create_allocation.sync_detailed(client=client, body=NewAllocation("a", hosts=5, profile="none")), Code.NOT_FOUND)

    # Without a name, a key makes it repeatable.
    unnamed = NewAllocation("team-x", pools=["large"], cidr="10.0.2.0/24", exclude_cidrs=["10.0.0.0/24"])
    second = ok(create_allocation.sync_detailed(client=client, body=unnamed, idempotency_key="k1"), 201)
    assert (second.name, second.profile, second.requested_pools, second.requested_cidr) == (None, None, ["large"], "10.0.2.0/24")
    assert ok(create_allocation.sync_detailed(client=client, body=unnamed, idempotency_key="k1"), 200).id == second.id
    other = NewAllocation("team-x", pools=["large"], prefix_length=28)
    refused(create_allocation.sync_detailed(client=client, body=other, idempotency_key="k1"), Code.IDEMPOTENCY_KEY_REUSED)
    conflicts = refused(create_allocation.sync_detailed(client=client, body=unnamed), Code.OVERLAP).details["conflicts"]
    assert conflicts[0]["allocation_id"] == str(second.id)
    by_label = NewAllocation("team-x", name="picked", pool_selector=labels(tier="large"), hosts=100)
    ok(create_allocation.sync_detailed(client=client, body=by_label), 201)
    by_label.hosts = 10
    refused(create_allocation.sync_detailed(client=client, body=by_label), Code.NAME_TAKEN)

    batch = NewBatch([NewAllocation("team-x", name="b1", pools=["large"], prefix_length=26), NewAllocation("a", hosts=99999)])
    refusal = refused(create_allocations.sync_detailed(client=client, body=batch), Code.INVALID_REQUEST)
    assert [item["request"] for item in refusal.details["refused"]] == [1]
    batch.atomic = False
    done = ok(create_allocations.sync_detailed(client=client, body=batch), 200)
    assert (done.succeeded, [result.status for result in done.results]) == (1, [201, 400])
    assert done.results[1].problem.code == Code.INVALID_REQUEST
    full = NewBatch([NewAllocation("team-x", pools=["large"], prefix_length=18) for _ in range(8)])
    problem = refused(create_allocations.sync_detailed(client=client, body=full), Code.POOL_EXHAUSTED)
    assert "prefix_length" in json.dumps(problem.details)

    assert [found.name for found in pages(list_allocations)] == ["web", None, "picked", "b1"]
    for filters in (
        {"name": "web"},
        {"number": made.number},
        {"label": "env=prod"},
        {"contains": "10.0.0.9"},
        {"within": "10.0.0.0/24"},
        {"vpc": "team-x", "pool": "large", "name": "web"},
    ):
        assert [found.id for found in pages(list_allocations, **filters)] == [made.id], filters
    refused(list_allocations.sync_detailed(client=client, vpc="none"), Code.NOT_FOUND)

    made = ok(get_allocation.sync_detailed(made.id, client=client), 200)
    tried = AllocationPatch(prefix_length=25, dry_run=True)
    assert ok(update_allocation.sync_detailed(made.id, client=client, body=tried), 200).cidr == "10.0.0.0/25"
    made = change(update_allocation, made.id, made, AllocationPatch(prefix_length=25), "cidr", "10.0.0.0/25")
    made = change(update_allocation, made.id, made, AllocationPatch(deletion_protection=True), "deletion_protection", True)
    refused(delete_allocation.sync_detailed(made.id, client=client), Code.DELETION_PROTECTED)
    made = change(update_allocation, made.id, made, AllocationPatch(deletion_protection=False), "deletion_protection", False)
    refused(update_allocation.sync_detailed(made.id, client=client, body=AllocationPatch(prefix_length=20)), Code.OVERLAP)
    refused(delete_allocation.sync_detailed(made.id, client=client, if_match='"1"'), Code.STALE)
    history(made, second)
    gone(get_allocation, delete_allocation, made.id, made.id)


def history(first, second):
    proof = ok(get_proof.sync_detailed(client=client, nonce="0123456789abcdef" * 4), 200)
    assert len(proof.proof) == 64 and proof.listens_on
    refused(get_proof.sync_detailed(client=client, nonce="0"), Code.INVALID_REQUEST)
    found = ok(lookup.sync_detailed(client=client, ip="10.0.0.9", vrf="dev"), 200)
    assert [(holder.kind, holder.allocation_id) for holder in found.holders] == [(HolderKind.ALLOCATION, first.id)]
    assert ok(lookup.sync_detailed(client=client, cidr="10.0.9.0/24", at=first.created_at), 200).free
    assert ok(lookup.sync_detailed(client=client, cidr="10.2.0.0/24"), 200).holders[0].kind == HolderKind.RESERVATION
    refused(lookup.sync_detailed(client=client, ip="10.0.0.9", vrf="none"), Code.NOT_FOUND)
    refused(lookup.sync_detailed(client=client), Code.INVALID_REQUEST)
    held = pages(list_history, cidr="10.0.0.0/22")
    assert {holder.allocation_id for holder in held} >= {first.id, second.id}
    assert any(holder.until for holder in held) and any(holder.until is None for holder in held)
    events = pages(list_events, subject=first.id)
    assert [event.action for event in events][-1] == "allocation.create"
    assert all(event.actor == "admin" and event.subject == first.id for event in events)
    seen, after = [], 0
    while events[0].id not in seen:
        feed = ok(follow_events.sync_detailed(client=client, after=after, wait=5, subject=first.id), 200)
        seen.extend(event.id for event in feed.items)
        after = feed.next_
    assert seen == sorted(seen) and set(seen) >= {event.id for event in events}
    refused(follow_events.sync_detailed(client=client, after=2**40), Code.INVALID_REQUEST)
    head = ok(get_events_head.sync_detailed(client=client), 200)
    assert head.seal >= 1 and len(head.digest) == 64


def ownership():
    """Who asks again is given the same until the claim is shown; who takes it over has it from then on."""
    new = NewVrf("own")
    made = ok(create_vrf.sync_detailed(client=client, body=new, ipam_owner="ws-1"), 201)
    again = ok(create_vrf.sync_detailed(client=client, body=new, ipam_owner="ws-1"), 200)
    assert (again.id, again.owner, again.confirmed, again.claim != made.claim) == (made.id, "ws-1", False, True), again

    def settle(call, claim, **headers):
        shown = Confirmations([Confirmation(kind=Noun.VRF, id=made.id, claim=claim)])
        return ok(call.sync_detailed(client=client, body=shown, **headers), 200).results[0].status

    assert settle(confirm_claims, made.claim) == ConfirmationStatus.CLAIMED
    assert settle(confirm_claims, again.claim) == ConfirmationStatus.CONFIRMED
    refused(create_vrf.sync_detailed(client=client, body=new, ipam_owner="ws-1"), Code.CLAIMED)
    assert settle(take_over, UNKNOWN, ipam_owner="ws-2") == ConfirmationStatus.CONFIRMED
    refused(get_vrf.sync_detailed("own", client=client, ipam_claim=str(again.claim)), Code.CLAIMED)
    assert ok(get_vrf.sync_detailed("own", client=client, ipam_claim=str(UNKNOWN)), 200).owner == "ws-2"
    assert [found.name for found in pages(list_vrfs, owner="ws-2", confirmed=True)] == ["own"]
    ok(delete_vrf.sync_detailed("own", client=client), 204)
    refused(confirm_claims.sync_detailed(client=client, body=Confirmations([])), Code.INVALID_REQUEST)


def token():
    """A token is made, does what it may and nothing else, is changed, and is refused within a second of its end."""
    quotas = Quotas.from_dict({"default/primary": 4096})
    limits = Limits(vpcs=["team-*"], vrfs=["default"], quotas=quotas)
    made = ok(create_token.sync_detailed(client=client, body=NewToken("ci", [Role.READER], limits=limits)), 201)
    assert made.secret.startswith(f"ipam_{made.public_id}_") and made.limits == limits, made.public_id
    shown = ok(get_token.sync_detailed("CI", client=client), 200)
    assert (shown.id, shown.secret, shown.last_used_at) == (made.id, UNSET, None), shown
    assert [(it.quota, it.addresses, it.used_addresses) for it in shown.usage] == [("default/primary", 4096, 0)], shown
    assert [found.name for found in pages(list_tokens)] == ["ci"]
    own = AuthenticatedClient(URL, made.secret, prefix="Bearer", raise_on_unexpected_status=True)
    who = ok(whoami.sync_detailed(client=own), 200)
    assert (who.actor, who.token, who.roles, who.limits) == ("token/ci", made.id, [Role.READER], limits), who
    assert [found.name for found in ok(list_vrfs.sync_detailed(client=own), 200).items] == ["default"]
    refused(create_vrf.sync_detailed(client=own, body=NewVrf("mine")), Code.FORBIDDEN)
    refused(list_tokens.sync_detailed(client=own), Code.FORBIDDEN)
    changed = change(update_token, "ci", made, TokenPatch(roles=[Role.METRICS]), "roles", [Role.METRICS])
    assert changed.limits == limits
    time.sleep(1)
    refused(list_vrfs.sync_detailed(client=own), Code.FORBIDDEN)
    ok(delete_token.sync_detailed("ci", client=client), 204)
    time.sleep(1)
    refused(whoami.sync_detailed(client=own), Code.UNAUTHORIZED)
    refused(get_token.sync_detailed(str(made.id), client=client), Code.GONE)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Accepts everything, and keeps it."""

    requests = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.requests.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def webhook():
    """A webhook tells what happens, in requests that another implementation of the specification verifies."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    new = NewWebhook("siem", url, actions=["vrf.*"], after=0, enabled=False)
    made = ok(create_webhook.sync_detailed(client=client, body=new), 201)
    shown = ok(get_webhook.sync_detailed("SIEM", client=client), 200)
    assert (shown.id, shown.secret, shown.delivery.up_to) == (made.id, UNSET, 0), shown
    assert [found.name for found in pages(list_webhooks)] == ["siem"]
    refused(create_webhook.sync_detailed(client=client, body=NewWebhook("x", "http://10.0.0.1/")), Code.INVALID_REQUEST)
    # Before anything is sent, so that both secrets sign all of it.
    rotation = NewWebhookSecret(overlap_seconds=3600)
    rotated = ok(rotate_webhook.sync_detailed("siem", client=client, body=rotation), 200)
    assert rotated.secret != made.secret and rotated.revision == made.revision + 1, rotated.revision
    change(update_webhook, "siem", rotated, WebhookPatch(enabled=True), "enabled", True)
    tested = ok(test_webhook.sync_detailed("siem", client=client), 200)
    assert (tested.delivered, tested.status, tested.error) == (True, 204, None), tested
    ok(resume_webhook.sync_detailed("siem", client=client, body=WebhookResumption(after=0)), 200)
    end = time.time() + 30
    while not any(json.loads(body)["items"] for _, body in Receiver.requests):
        assert time.time() < end, "nothing was delivered"
        time.sleep(0.1)
    for headers, body in Receiver.requests:
        for secret in (made.secret, rotated.secret):
            payload = Verifier(secret).verify(body, headers)
            assert all(event["action"].startswith("vrf.") for event in payload["items"]), payload
        try:
            Verifier(made.secret).verify(body + b" ", headers)
        except Exception as error:
            assert "signature" in str(error), error
        else:
            raise AssertionError("a body that was changed was accepted")
    gone(get_webhook, delete_webhook, "siem", str(made.id))
    server.shutdown()


def transfer():
    plan = export_plan.sync_detailed(client=client, format_=ExportPlanFormat.CSV)
    assert plan.status_code == 200 and plan.content.startswith(b"kind,")
    record = Record(kind=Kind.RESERVATION, vrf="dev", cidr="10.2.9.0/24", reason="from a file")
    tried = ok(import_plan.sync_detailed(client=client, body=[record], dry_run=True), 200)
    assert (tried.dry_run, tried.created.reservations, tried.conflicts) == (True, 1, [])
    assert ok(import_plan.sync_detailed(client=client, body=[record]), 200).created.reservations == 1
    record.cidr = "10.2.9.0/25"
    problem = refused(import_plan.sync_detailed(client=client, body=[record]), Code.IMPORT_CONFLICT)
    assert problem.details["total_conflicts"] == 1


def end():
    """All of it goes."""
    assert refused(delete_vpc.sync_detailed("team-x", client=client), Code.IN_USE).details["users"]
    released = ok(delete_vpc.sync_detailed("team-x", client=client, cascade=True), 200)
    assert released.released_allocations == 3, released
    for found in pages(list_reservations):
        ok(delete_reservation.sync_detailed(found.id, client=client), 204)
    large = ok(get_pool.sync_detailed("large", client=client), 200)
    assert large.used_addresses == 0, large
    for call, key in ((delete_profile, "pair"), (delete_pool, "large"), (delete_vrf, "dev")):
        ok(call.sync_detailed(key, client=client), 204)
    stranger = AuthenticatedClient(URL, "wrong", auth_header_name="X-API-Key", prefix="", raise_on_unexpected_status=True)
    reply = list_vrfs.sync_detailed(client=stranger)
    refused(reply, Code.UNAUTHORIZED)
    assert reply.headers["www-authenticate"] == "Bearer"


for step in (vrf, pool, profile, vpc, reservation, allocation, ownership, token, webhook, transfer, end):
    step()
print("every noun was made, read, listed, changed and deleted by the generated client")
