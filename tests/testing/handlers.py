"""A handler that conforms, and one for each promise that breaks just that."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import SecretStr, model_validator

from promptd.plugins import (
    AuthenticationFailed,
    Call,
    Capability,
    Config,
    ConfigFile,
    ConnectionTestParams,
    ConnectionTestResult,
    DescribeParams,
    Draft,
    Engine,
    FormContext,
    FormLogic,
    FormPatch,
    HttpClient,
    InvalidOutput,
    LoadReport,
    Localizer,
    Option,
    Param,
    PromptExecutionError,
    PromptSerializationError,
    Result,
    SerializedConfig,
    error_from_response,
    make_form,
    placeholders,
    setting,
)
from promptd.plugins import FormText as Paragraph
from promptd.testing import Reply, Samples


class Proxy(Config):
    host: str = ""
    password: SecretStr = SecretStr("")


class ShopConfig(Config):
    base_url: str = setting("https://shop.example", required=True, widget="url")
    api_key: SecretStr = setting(SecretStr(""), required=True, widget="api_key")
    region: Literal["eu", "us"] = setting("eu", on_change=True)
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    proxy: Proxy = Proxy()
    certificate: ConfigFile | None = None
    tags: tuple[str, ...] = ()


class OrderConfig(Config):
    wording: str = setting("Order {{item}}", required=True, widget="prompt")
    catalogue: str = setting("", options="catalogues")


class ShopLogic(FormLogic[ShopConfig, Any]):
    async def options(self, source: str, draft: Draft[ShopConfig, Any], search: str) -> list[Option]:
        return [Option(name) for name in ("books", "music") if search in name]

    async def on_change(self, path: str, draft: Draft[ShopConfig, Any]) -> FormPatch | None:
        return FormPatch(values={"base_url": f"https://{draft.config.region}.shop.example"})


async def ask(http: HttpClient, config: ShopConfig, path: str, body: object) -> Any:
    headers = {"authorization": f"Bearer {config.api_key.get_secret_value()}"}
    async with http.request(
        "POST", config.base_url + path, headers=headers, body=msgspec.json.encode(body)
    ) as response:
        answer = await response.read()
        if response.status != 200:
            raise error_from_response(response.status, response.headers, answer, now=0.0)
    try:
        return json.loads(answer)
    except ValueError:
        raise InvalidOutput("the shop did not answer with JSON") from None


class Shop(Engine[ShopConfig, OrderConfig]):
    """Keeps every promise."""

    type_id = "acme.shop"
    capabilities = frozenset({Capability.QUERY})
    connection_version = 3
    error_map: ClassVar[Mapping[type[BaseException], type[PromptExecutionError]]] = {KeyError: InvalidOutput}

    def migrate_connection(self, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {"base_url": data.pop("url", "https://shop.example"), **data} if from_version == 1 else data

    def connection_form_logic(self) -> FormLogic[ShopConfig, Any] | None:
        return ShopLogic()

    def query_form_logic(self) -> FormLogic[ShopConfig, OrderConfig] | None:
        return ShopLogic()

    def compute_query_input(self, params: DescribeParams[ShopConfig, OrderConfig]) -> Sequence[Param]:
        return [
            *(Param(name) for name in placeholders(params.query.wording)),
            Param("count", "integer", required=False, default=1, minimum=1),
            Param("note", required=False),
            Param("picture", "file", required=False, media_types=("image/png",)),
        ]

    def compute_query_output(self, params: DescribeParams[ShopConfig, OrderConfig]) -> Sequence[Param]:
        return [Param("number", "integer"), Param("message", required=False)]

    async def test_connection(self, params: ConnectionTestParams[ShopConfig]) -> ConnectionTestResult:
        await ask(params.http, params.connection, "/ping", {})
        return ConnectionTestResult(ok=True)

    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        answer = await ask(call.http, call.connection, "/orders", {"text": call.text(call.query.wording)})
        if not isinstance(answer, dict):
            raise InvalidOutput("the shop did not answer with an object")
        return Result(value={"number": answer["number"]})


SAMPLES = Samples(
    connection=ShopConfig(api_key=SecretStr("shop-key-4711")),
    query=OrderConfig(),
    value={"item": "a book"},
    replies=(Reply.json({"number": 7}),),
    test_replies=(Reply.json({}),),
)


# ---------------------------------------------------------------- one broken promise each


class BadName(Shop):
    type_id = "Acme Shop"


class NoDefault(Engine):
    type_id = "acme.needy"

    class Needy(Config):
        account: str

    @classmethod
    def connection_config_class(cls) -> type[Any]:
        return cls.Needy

    async def execute(self, call: Call[Any, Any]) -> Result:
        return Result()


class Idle(Engine[ShopConfig, OrderConfig]):
    type_id = "acme.idle"


class Wordless(Shop):
    def localizer(self) -> Localizer | None:
        return Localizer({"en": {"service.name": "Shop"}, "de": {"service.name": "Laden"}})


class Restless(Shop):
    """Another class each time."""

    @classmethod
    def query_config_class(cls) -> type[Any]:
        return type("Query", (OrderConfig,), {})


class OldFashioned(Shop):
    """Will not read what a newer version wrote."""

    def deserialize_query_config(self, stored: SerializedConfig, report: LoadReport) -> OrderConfig:
        if (stored.version or 0) > self.query_version:
            raise PromptSerializationError("written by a newer version")
        return super().deserialize_query_config(stored, report)


class RaisingForm(Shop):
    def connection_form(self, context: FormContext) -> Any:
        raise RuntimeError("no form today")


class MarkupForm(Shop):
    def query_form(self, context: FormContext) -> Any:
        return make_form(OrderConfig, Paragraph(text="<script>alert(1)</script>"))


class PlainPassword(Engine):
    type_id = "acme.plain"

    class Plain(Config):
        password: str = ""

    @classmethod
    def connection_config_class(cls) -> type[Any]:
        return cls.Plain

    async def execute(self, call: Call[Any, Any]) -> Result:
        return Result()


class RaisingLogic(Shop):
    def connection_form_logic(self) -> FormLogic[ShopConfig, Any] | None:
        class Logic(ShopLogic):
            async def on_change(self, path: str, draft: Draft[ShopConfig, Any]) -> FormPatch | None:
                raise KeyError("regions")

        return Logic()


class StrayPatch(Shop):
    def connection_form_logic(self) -> FormLogic[ShopConfig, Any] | None:
        class Logic(ShopLogic):
            async def on_change(self, path: str, draft: Draft[ShopConfig, Any]) -> FormPatch | None:
                return FormPatch(values={"nowhere": 1})

        return Logic()


class LosesSecrets(Shop):
    """The trap of pydantic's own dump."""

    def serialize_connection_config(self, config: ShopConfig) -> SerializedConfig:
        kept = super().serialize_connection_config(config)
        data = config.model_dump(mode="json", exclude={"certificate"})
        return SerializedConfig(msgspec.json.encode(data), version=3, files=kept.files)


class NoVersion(Shop):
    def serialize_query_config(self, config: OrderConfig) -> SerializedConfig:
        return SerializedConfig(super().serialize_query_config(config).data)


class BadMigration(Shop):
    def migrate_connection(self, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {**data, "base_url": data["url"]} if from_version == 1 else data


class Strict(Shop):
    """Raises where it should read what it can."""

    def deserialize_query_config(self, stored: SerializedConfig, report: LoadReport) -> OrderConfig:
        return OrderConfig.model_validate_json(stored.data)


class CrossChecked(Shop):
    """A check across fields in the model costs all of them."""

    class Orders(OrderConfig):
        @model_validator(mode="after")
        def _both(self) -> Any:
            if self.catalogue and self.wording == "Order {{item}}":
                raise ValueError("a catalogue needs a wording of its own")
            return self

    @classmethod
    def query_config_class(cls) -> type[Any]:
        return cls.Orders


class Opens(Shop):
    def serialize_connection_config(self, config: ShopConfig) -> SerializedConfig:
        if config.certificate is not None:
            config.certificate.open().close()
        return super().serialize_connection_config(config)


class Changing(Shop):
    asked = 0

    def compute_query_output(self, params: DescribeParams[ShopConfig, OrderConfig]) -> Sequence[Param]:
        Changing.asked += 1
        return [Param(f"number{Changing.asked}", "integer")]


class Twice(Shop):
    def compute_query_input(self, params: DescribeParams[ShopConfig, OrderConfig]) -> Sequence[Param]:
        return [Param("item"), Param("item")]


class NoExample(Shop):
    def compute_query_input(self, params: DescribeParams[ShopConfig, OrderConfig]) -> Sequence[Param]:
        return [Param("item", pattern="^[0-9]{4}-[A-Z]{2}$")]


class AlwaysFine(Shop):
    async def test_connection(self, params: ConnectionTestParams[ShopConfig]) -> ConnectionTestResult:
        try:
            await ask(params.http, params.connection, "/ping", {})
        except Exception:
            return ConnectionTestResult(ok=True, message="nobody was at home")
        return ConnectionTestResult(ok=True)


class Stubborn(Shop):
    """Will not be cancelled."""

    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        try:
            return await super().execute(call)
        except asyncio.CancelledError:
            return Result(value={"number": 1})


class WrongOutput(Shop):
    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        result = await super().execute(call)
        return Result(value={"number": str(result.value["number"])})


class OwnWay(Shop):
    """Every status is the same to it."""

    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        try:
            return await super().execute(call)
        except PromptExecutionError as error:
            raise RuntimeError(error.message) from error


class NoPatience(Shop):
    """Forgets how long the service wants to be left alone."""

    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        try:
            return await super().execute(call)
        except PromptExecutionError as error:
            raise type(error)(error.message) from None


class Encoded(Shop):
    """Tells its key in another spelling, which nobody can blot out."""

    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        try:
            return await super().execute(call)
        except AuthenticationFailed as error:
            key = call.connection.api_key.get_secret_value().encode()
            raise AuthenticationFailed(f"not with {base64.b64encode(b'user:' + key).decode()}") from error


class Mixed(Shop):
    """Keeps what belongs to a call in the instance."""

    async def execute(self, call: Call[ShopConfig, OrderConfig]) -> Result:
        self.config = call.connection
        await asyncio.sleep(0)
        answer = await ask(call.http, self.config, "/orders", {})
        return Result(value={"number": answer["number"]})


class WrongMap(Shop):
    error_map: ClassVar[Any] = {KeyError: ValueError}


BROKEN: Mapping[int, tuple[type[Engine[Any, Any]], ...]] = {
    1: (BadName,),
    3: (Restless,),
    4: (NoDefault,),
    5: (Idle,),
    6: (Wordless,),
    7: (RaisingForm,),
    8: (MarkupForm,),
    9: (PlainPassword,),
    11: (StrayPatch,),
    12: (RaisingLogic,),
    15: (LosesSecrets,),
    16: (NoVersion, BadMigration),
    17: (OldFashioned,),
    18: (CrossChecked,),
    19: (Strict,),
    22: (Opens,),
    26: (Changing,),
    27: (Twice,),
    28: (NoExample,),
    31: (AlwaysFine,),
    36: (WrongOutput,),
    40: (OwnWay, WrongMap),
    41: (Stubborn,),
    42: (NoPatience,),
    43: (Encoded,),
    45: (Mixed,),
}
