"""What field_behavior asks of requests, on a contract of its own: what must be given, and what a mask may name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import google.api
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc
from marketd.kernel.call.refusals import FieldViolation
from marketd.kernel.masks import has_path, patch, update_paths
from marketd.kernel.values.address import Address
from marketd.transport.behaviours import Behaviours
from marketd.transport.walk import Walk

SHELF_ID = "01928f7c-0000-7000-8000-000000000001"
CONTRACT = """
syntax = "proto3";
package marketplace.shelves.v1;
import "google/api/field_behavior.proto";
import "google/protobuf/field_mask.proto";
message Place {
  string city = 1 [(google.api.field_behavior) = REQUIRED];
  string floor = 2 [(google.api.field_behavior) = OPTIONAL];
}
message Board {
  string name = 1 [(google.api.field_behavior) = REQUIRED];
  optional int32 width = 2 [(google.api.field_behavior) = REQUIRED];
}
message Shelf {
  string shelf_id = 1 [(google.api.field_behavior) = OUTPUT_ONLY];
  string name = 2 [(google.api.field_behavior) = REQUIRED];
  string owner_user_id = 3 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = IMMUTABLE];
  optional string notes = 4 [(google.api.field_behavior) = OPTIONAL];
  Place place = 5 [(google.api.field_behavior) = OPTIONAL];
  repeated Board boards = 6 [(google.api.field_behavior) = OPTIONAL];
  map<string, string> labels = 7 [(google.api.field_behavior) = OPTIONAL];
  int32 first_height = 8 [(google.api.field_behavior) = INPUT_ONLY];
  string etag = 9 [(google.api.field_behavior) = OPTIONAL];
  Shelf twin = 10 [(google.api.field_behavior) = OUTPUT_ONLY];
}
message CreateShelfRequest {
  Shelf shelf = 1 [(google.api.field_behavior) = REQUIRED];
}
message UpdateShelfRequest {
  Shelf shelf = 1 [(google.api.field_behavior) = REQUIRED];
  google.protobuf.FieldMask update_mask = 2 [(google.api.field_behavior) = OPTIONAL];
  string request_id = 3 [(google.api.field_behavior) = REQUIRED];
}
message MoveShelfRequest {
  string shelf_id = 1 [(google.api.field_behavior) = REQUIRED];
  Place to = 2 [(google.api.field_behavior) = OPTIONAL];
  optional int32 quantity = 3 [(google.api.field_behavior) = REQUIRED];
  map<string, Place> by_name = 4 [(google.api.field_behavior) = OPTIONAL];
}
message GetShelfRequest {
  string shelf_id = 1 [(google.api.field_behavior) = OPTIONAL];
}
"""

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a message of the contract above by its name."""
    folder = tmp_path_factory.mktemp("contract")
    (folder / "shelves.proto").write_text(CONTRACT)
    packages = Path(next(iter(google.api.__path__))).parents[1]
    well_known = Path(protoc.__file__).parent / "_proto"
    includes = [f"-I{path}" for path in (folder, packages, well_known)]
    out = folder / "set.binpb"
    assert protoc.main(["protoc", *includes, f"--descriptor_set_out={out}", str(folder / "shelves.proto")]) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    pool: Any = descriptor_pool.Default()
    pool.Add(file)

    def message(name: str, /, **fields: Any) -> Any:
        return GetMessageClass(pool.FindMessageTypeByName(f"marketplace.shelves.v1.{name}"))(**fields)

    return message


def found(request: Any) -> dict[str, str]:
    return {one.field: one.description for one in Behaviours(request.DESCRIPTOR).violations(request)}


def bad(request: Any) -> list[str]:
    """The paths of what is bad in itself."""
    wrong: list[FieldViolation] = []
    walk = Walk.over(request.DESCRIPTOR)
    assert walk is not None
    walk.judge(request, "", wrong)
    return [one.field for one in wrong]


def update(make: Make, *paths: str, **fields: Any) -> Any:
    shelf = make("Shelf", **{"shelf_id": SHELF_ID, **fields})
    return make("UpdateShelfRequest", shelf=shelf, update_mask=FieldMask(paths=paths), request_id="x")


class TestRequired:
    def test_a_create_needs_all_that_is_required_in_what_it_carries(self, make: Make) -> None:
        shelf = make("Shelf", place=make("Place", floor="2"), boards=[make("Board", name="a", width=0), make("Board")])
        assert set(found(make("CreateShelfRequest", shelf=shelf))) == {
            "shelf.name",
            "shelf.owner_user_id",
            "shelf.place.city",
            "shelf.boards[1].name",
            "shelf.boards[1].width",
        }
        assert found(make("CreateShelfRequest")) == {"shelf": "must be given"}

    def test_nothing_is_missing_where_all_is_given_and_what_the_server_says_is_not_looked_into(
        self, make: Make
    ) -> None:
        shelf = make("Shelf", name="a", owner_user_id="b", twin=make("Shelf"))
        assert found(make("CreateShelfRequest", shelf=shelf)) == {}

    def test_zero_counts_where_presence_is_known_and_an_empty_text_never(self, make: Make) -> None:
        assert found(make("MoveShelfRequest", shelf_id="x", quantity=0)) == {}
        assert set(found(make("MoveShelfRequest"))) == {"shelf_id", "quantity"}

    def test_what_another_request_carries_must_be_whole_when_it_is_there(self, make: Make) -> None:
        request = make("MoveShelfRequest", shelf_id="x", quantity=1, to=make("Place"), by_name={"a": make("Place")})
        assert set(found(request)) == {"to.city", "by_name.city"}

    def test_a_request_that_requires_nothing_costs_nothing(self, make: Make) -> None:
        assert Behaviours(make("GetShelfRequest").DESCRIPTOR).is_idle
        assert not Behaviours(make("MoveShelfRequest").DESCRIPTOR).is_idle


class TestUpdates:
    def test_the_resource_is_named_by_its_id(self, make: Make) -> None:
        assert found(update(make, shelf_id="")) == {"shelf.shelf_id": "must name the shelf to change"}
        assert found(update(make, shelf_id="one")) == {"shelf.shelf_id": "must be a valid UUID"}
        assert found(make("UpdateShelfRequest", request_id="x")) == {"shelf": "must be given"}

    def test_required_fields_count_when_the_mask_names_them(self, make: Make) -> None:
        assert found(update(make)) == {}
        assert found(update(make, "notes")) == {}
        assert found(update(make, "name")) == {"shelf.name": "must be given"}
        assert found(update(make, "*")) == {"shelf.name": "must be given"}
        assert found(update(make, "*", name="a")) == {}
        assert found(update(make, "place.city")) == {"shelf.place.city": "must be given"}
        assert found(update(make, "place.floor")) == {}
        assert found(update(make, place=make("Place", floor="2"))) == {"shelf.place.city": "must be given"}
        assert found(update(make, "boards", boards=[make("Board", width=1)])) == {
            "shelf.boards[0].name": "must be given"
        }

    def test_what_is_the_servers_or_fixed_is_ignored_unless_it_is_named(self, make: Make) -> None:
        assert found(update(make, owner_user_id="other", first_height=3, etag="v1")) == {}
        for path in ("shelf_id", "owner_user_id", "first_height", "etag", "twin"):
            assert set(found(update(make, path))) == {"update_mask.paths[0]"}, path

    def test_a_path_leads_to_a_field_or_into_a_message_of_ours(self, make: Make) -> None:
        assert found(update(make, "place.floor", "notes")) == {}
        for path in ("nothing", "place.nothing", "name.more", "labels.a", "boards.name", "Name", ""):
            assert set(found(update(make, "notes", path))) == {"update_mask.paths[1]"}, path
        assert "name, notes, place, boards, labels" in found(update(make, "nothing"))["update_mask.paths[0]"]

    def test_everything_stands_alone(self, make: Make) -> None:
        assert found(update(make, "*", "notes", name="a")) == {
            "update_mask.paths[0]": "must stand alone: it is every field"
        }


class TestPaths:
    def test_without_a_mask_what_has_a_value_changes(self, make: Make) -> None:
        shelf = make("Shelf", shelf_id=SHELF_ID, name="a", notes="", owner_user_id="b", etag="v1", labels={"a": "b"})
        assert update_paths(shelf, FieldMask()) == {"name", "notes", "labels"}
        assert update_paths(make("Shelf"), FieldMask()) == frozenset()

    def test_a_mask_says_it_itself(self, make: Make) -> None:
        shelf = make("Shelf", name="a")
        assert update_paths(shelf, FieldMask(paths=["notes", "place.city"])) == {"notes", "place.city"}
        assert update_paths(shelf, FieldMask(paths=["*"])) == {"name", "notes", "place", "boards", "labels"}
        paths = update_paths(shelf, FieldMask(paths=["place.city"]))
        assert has_path(paths, "place")
        assert not has_path(paths, "pla")

    def test_a_path_that_leads_inside_changes_that_part_and_leaves_the_others(self) -> None:
        old = Address("Kim", "+49", ("Way 1",), "Bonn", "", "53111", "DE", notes="ring twice")
        new = Address("Lee", "", (), "Ulm", "", "", "")
        inside = frozenset({"address.city", "address.notes", "addressee", "name"})
        assert patch(new, inside, "address")(old) == replace(old, city="Ulm", notes="")
        assert patch(new, frozenset({"address"}), "address")(old) == new
        assert has_path(inside, "address")
        assert not has_path(inside, "addr")
        assert not has_path(frozenset({"address.city"}), "city")
