"""The shapes in which load balancers, pools, monitors and zones of Cloudflare are found: as its API answers, and in a
Terraform state, raw (version 4) or as `terraform show -json` prints it, of the provider's versions 4 and 5. Pure.

All end as an Item with the fields of the API. What version 4 of the provider names or nests otherwise is put right
here: `default_pool_ids`, blocks of one as lists, maps and headers as lists of blocks.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from steering.imports.source import File, Place, Report, SourceError

KINDS = {
    "cloudflare_load_balancer": "load_balancer",
    "cloudflare_load_balancer_pool": "pool",
    "cloudflare_load_balancer_monitor": "monitor",
    "cloudflare_zone": "zone",
}
"""Types of Terraform resources. Others are not about steering, but for those that begin like the first."""

RENAMED = {"default_pool_ids": "default_pools", "fallback_pool_id": "fallback_pool", "zone": "name"}
SINGLE_BLOCKS = ("adaptive_routing", "load_shedding", "location_strategy", "origin_steering", "random_steering")
MAPS = {"region_pools": "region", "country_pools": "country", "pop_pools": "pop"}
MONITOR_TYPES = {"http", "https", "tcp", "udp_icmp", "icmp_ping", "smtp"}


class Item(NamedTuple):
    """A load balancer, pool, monitor or zone."""

    kind: str
    fields: dict[str, Any]
    place: Place


def find_items(files: Sequence[File], report: Report) -> list[Item]:
    """All that is in the files, each thing once; raises SourceError."""
    found: dict[tuple[str, str], Item] = {}
    totals: list[tuple[str, int, Place]] = []
    for file in files:
        for number, item in enumerate(_items_of(_decode(file), Place(file.path), report, totals)):
            identifier = item.fields.get("id")
            key = (item.kind, identifier if isinstance(identifier, str) else f"{file.path} {number}")
            if key not in found:
                found[key] = item
            elif found[key].fields != item.fields:
                report.leave(item.place, None, f"is another state of what {found[key].place.file} has already")
    items = list(found.values())
    for kind, total, place in totals:
        if sum(item.kind == kind for item in items) < total:
            reason = "the answer is a page of several, and the others are not among the files"
            report.leave(place.at("result_info", "total_count"), total, reason)
    return items


def _decode(file: File) -> object:
    try:
        return msgspec.json.decode(file.content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SourceError(f"{file.path}: not JSON: {error}") from None


def _items_of(document: object, place: Place, report: Report, totals: list[tuple[str, int, Place]]) -> Iterator[Item]:
    if isinstance(document, list):
        yield from _items_of_answer(document, place, report)
    elif not isinstance(document, dict):
        raise SourceError(f"{place.file}: expected an answer of the API or a Terraform state")
    elif isinstance(document.get("resources"), list) and "version" in document:
        if document["version"] != 4:
            raise SourceError(f"{place.file}: a Terraform state of a version other than 4")
        yield from _items_of_state(document["resources"], place.at("resources"), report)
    elif "format_version" in document:
        values = document.get("values")
        yield from _items_of_module(values.get("root_module") if isinstance(values, dict) else None, place, report)
    elif document.get("success") is False:
        raise SourceError(f"{place.file}: the API answered with an error, not with what was asked for")
    elif "result" in document:
        items = list(_items_of_answer(document["result"], place.at("result"), report))
        yield from items
        pages = document.get("result_info")
        total = pages.get("total_count") if isinstance(pages, dict) else None
        if items and isinstance(total, int):
            totals.append((items[0].kind, total, place))
    else:
        yield from _items_of_answer(document, place, report)


def _items_of_answer(result: object, place: Place, report: Report) -> Iterator[Item]:
    listed = isinstance(result, list)
    for position, fields in enumerate(result if isinstance(result, list) else [result]):
        here = place.at(position) if listed else place
        kind = _kind_of(fields) if isinstance(fields, dict) else ""
        if kind:
            yield Item(kind, fields, here)
        elif fields is not None:
            report.leave(here, fields, "neither load balancer, pool nor monitor")


def _kind_of(fields: dict[str, Any]) -> str:
    """What an object of the API is, by fields that it always has; "" for others."""
    if "origins" in fields:
        return "pool"
    if "default_pools" in fields or "fallback_pool" in fields:
        return "load_balancer"
    if fields.get("type") in tuple(MONITOR_TYPES):
        return "monitor"
    return "zone" if "name_servers" in fields else ""


def _items_of_state(resources: list[Any], place: Place, report: Report) -> Iterator[Item]:
    for resource in resources:
        if not isinstance(resource, dict) or resource.get("mode", "managed") != "managed":
            continue
        instances = resource.get("instances")
        listed = instances if isinstance(instances, list) else []
        for position, instance in enumerate(listed):
            name = (str(resource.get("type")), str(resource.get("name")))
            here = Place(place.file, (*name, position) if len(listed) > 1 else name)
            attributes = instance.get("attributes") if isinstance(instance, dict) else None
            yield from _item_of_resource(resource.get("type"), attributes, here, report)


def _items_of_module(module: object, place: Place, report: Report) -> Iterator[Item]:
    """The resources of a module and of those below it."""
    waiting = [module]
    for each in waiting:
        if not isinstance(each, dict):
            continue
        resources, children = each.get("resources"), each.get("child_modules")
        waiting += children if isinstance(children, list) else []
        for resource in resources if isinstance(resources, list) else []:
            if isinstance(resource, dict) and resource.get("mode", "managed") == "managed":
                here = Place(place.file, tuple(str(resource.get("address")).split(".")))
                yield from _item_of_resource(resource.get("type"), resource.get("values"), here, report)


def _item_of_resource(resource_type: object, attributes: object, place: Place, report: Report) -> Iterator[Item]:
    if not isinstance(resource_type, str) or not resource_type.startswith(
        ("cloudflare_load_balancer", "cloudflare_zone")
    ):
        return
    if resource_type in KINDS and isinstance(attributes, dict):
        yield Item(KINDS[resource_type], _like_the_api(attributes), place)
    elif resource_type in KINDS or resource_type.startswith("cloudflare_load_balancer"):
        report.leave(place, None, "neither load balancer, pool nor monitor")


def _like_the_api(attributes: dict[str, Any]) -> dict[str, Any]:
    fields = {RENAMED.get(name, name): value for name, value in attributes.items() if value is not None}
    for name in SINGLE_BLOCKS:
        block = fields.get(name)
        if isinstance(block, list) and len(block) <= 1:
            fields[name] = block[0] if block else None
    for name, code in MAPS.items():
        if isinstance(fields.get(name), list):
            fields[name] = _map_of_blocks(fields[name], code, "pool_ids")
    if isinstance(fields.get("header"), list):
        fields["header"] = _map_of_blocks(fields["header"], "header", "values")
    if isinstance(fields.get("origins"), list):
        fields["origins"] = [
            _like_the_api(origin) if isinstance(origin, dict) else origin for origin in fields["origins"]
        ]
    return fields


def _map_of_blocks(blocks: list[Any], key: str, value: str) -> object:
    """The map that is written as blocks; the blocks themselves if they are not what they should be."""
    if any(not isinstance(block, dict) or not isinstance(block.get(key), str) for block in blocks):
        return blocks
    made = {block[key]: block.get(value) for block in blocks}
    return made if len(made) == len(blocks) else blocks
