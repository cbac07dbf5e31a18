"""The way to AWS: one session, the wire clients of the data plane, aiobotocore clients for everything else.

Endpoint, region, proxy and certificate authorities are found where the AWS SDKs look for them. The wire clients
take their endpoint from botocore's rule sets without making an SDK client: one of those costs 9 MB.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies

from poller.aws import errors
from poller.aws.credentials import CredentialSource, SharedCredentials
from poller.aws.http1 import HttpClient
from poller.aws.sdk_session import StayingSession
from poller.aws.wire import Observer, WireClient
from poller.clock import Clock, SystemClock
from poller.errors import ConfigurationError, SourceError

_SDK_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 30}


class AwsClients:
    """An async context manager; every client it hands out lives until its end, on one event loop.

    `endpoint_url` (Settings.EndpointUrl) goes before all other endpoint settings, `region` and `profile` before
    the environment's. Construction reads no network; a missing profile or region is told where it is needed.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        observe: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._profile = profile
        self._region = region
        self._endpoint_url = endpoint_url
        self.observe = observe
        self._clock = clock or SystemClock()
        self._session = self._make_session()
        self._credentials = CredentialSource(self._make_session)
        # Loaded, refreshed and read anew in one place, for the SDK's clients too: they would keep the first ones.
        shared = SharedCredentials(self._credentials, self._clock)
        self._session.register_component("credential_provider", shared)
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(self._credentials.close)
        self._tls: ssl.SSLContext | None = None
        self._wires: dict[tuple[str, str], WireClient] = {}
        self._clients: dict[tuple[str, str, int], Any] = {}
        self._making = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _make_session(self) -> AioSession:
        return AioSession(profile=self._profile)

    def region(self) -> str | None:
        """The default region: the setting, AWS_REGION's kin, the profile. Raises SourceError: no such profile."""
        return self._region or self._variable("region")

    def wire(self, service: str, region: str) -> WireClient:
        """The data plane client of a service in wire.PROTOCOLS; the same one for the same arguments.

        Raises ConfigurationError when the endpoint or proxy URL cannot be used.
        """
        wire = self._wires.get((service, region))
        if wire is None:
            endpoint = self.endpoint(service, region)
            proxy = ProxyConfiguration(get_environ_proxies(endpoint)).proxy_url_for(endpoint)
            tls = (
                self._ssl_context()
                if "https" in {urlsplit(endpoint).scheme, urlsplit(proxy or "").scheme}
                else None
            )
            try:
                http = HttpClient(endpoint, tls=tls, proxy=proxy)
            except ValueError as error:
                which = f"{endpoint!r} or its proxy" if proxy else repr(endpoint)
                raise ConfigurationError(
                    f"The endpoint URL {which} of {service} cannot be used: {error}."
                ) from error
            self._stack.push_async_callback(http.close)
            wire = WireClient(
                service,
                region,
                endpoint=endpoint,
                http=http,
                credentials=self._credentials,
                clock=self._clock,
                observe=self.observe,
            )
            self._wires[service, region] = wire
        return wire

    async def client(self, service: str, region: str, *, retries: int = 3) -> Any:
        """The aiobotocore client of any service; the same one for the same arguments. Raises SourceError.

        `retries` is how often it asks again by itself. The SDK names a bucket in the path where the endpoint was
        configured, and in the host at AWS.
        """
        async with self._making:  # mappings that start together share one
            client = self._clients.get((service, region, retries))
            if client is not None:
                return client
            config = AioConfig(**_SDK_TIMEOUTS, retries={"mode": "standard", "max_attempts": retries})
            client = await self._stack.enter_async_context(self.own_client(service, region, config))
            self._clients[service, region, retries] = client
            return client

    @asynccontextmanager
    async def own_client(self, service: str, region: str, config: AioConfig) -> AsyncIterator[Any]:
        """An aiobotocore client with settings of its own, for one user, who closes it. Raises SourceError."""
        config = config.merge(AioConfig(http_session_cls=StayingSession))
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(
                    self._session.create_client(
                        service, region_name=region, endpoint_url=self._endpoint_url, config=config
                    )
                )
            except (BotoCoreError, OSError, ValueError) as error:
                raise errors.from_sdk(service, "client", error) from error
            yield client

    async def credentials_within(self, seconds: float, purpose: str) -> None:
        """To be awaited before a call of an SDK client whose time is somebody else's: the SDK would wait for
        credentials as part of the call. Raises SourceError(CREDENTIALS).
        """
        mono = self._clock.now().mono
        if self._credentials.held(mono) is None:
            await self._credentials.load_within(seconds, mono, purpose)

    def refused(self, error: SourceError) -> None:
        """To be told of a refusal that an SDK client brought: credentials called expired are read anew."""
        if error.code in errors.EXPIRED_CREDENTIALS:
            mono = self._clock.now().mono
            if (held := self._credentials.held(mono)) is not None:
                self._credentials.reject(held, mono)

    def endpoint(self, service: str, region: str) -> str:
        """The service's URL: Settings.EndpointUrl, AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's
        services section, else botocore's rules for the region with the FIPS and dual-stack settings.
        """
        if self._endpoint_url:
            return self._endpoint_url
        try:
            if not self._variable("ignore_configured_endpoint_urls"):
                session = self._session
                told = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), service)
                configured = told.provide()
                if configured:
                    return str(configured)
            loader = self._session.get_component("data_loader")
            rules = EndpointProvider(
                loader.load_service_model(service, "endpoint-rule-set-1"), loader.load_data("partitions")
            )
            found = rules.resolve_endpoint(
                Region=region,
                UseFIPS=bool(self._variable("use_fips_endpoint")),
                UseDualStack=bool(self._variable("use_dualstack_endpoint")),
            )
        except BotoCoreError as error:
            raise errors.from_sdk(service, "endpoint", error) from error
        return str(found.url)

    def _variable(self, name: str) -> Any:
        try:
            return self._session.get_config_variable(name)
        except BotoCoreError as error:
            raise errors.from_sdk("AWS", "configuration", error) from error

    def _ssl_context(self) -> ssl.SSLContext:
        """Certificates and host names are always verified: by AWS_CA_BUNDLE, else by botocore's authorities."""
        if self._tls is None:
            bundle = self._variable("ca_bundle")
            try:
                self._tls = ssl.create_default_context(cafile=get_cert_path(bundle or True))
            except OSError as error:
                raise ConfigurationError(
                    f"The certificate authorities {bundle!r} (AWS_CA_BUNDLE, ca_bundle) cannot be read: {error}."
                ) from error
        return self._tls
