"""An S3 server for tests: moto's, which also checks signatures by botocore, and fails as told.

Prints "ready PORT" and serves until its standard input ends. --tls FILE: over TLS, the authority
goes into FILE. POST /-/faults takes {"status", "code", "delay_s", "cut", "method", "times"}: the
next `times` requests (of that method) meet it. GET /-/counts says how many of each method came.
"""

import argparse
import datetime
import io
import ipaddress
import json
import logging
import os
import ssl
import sys
import tempfile
import threading
import time

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SKEW_S_MAX = 15 * 60


def error(status, code, message):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, body.encode()


class Faults:
    """What goes wrong next. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.armed = []
        self.counts = {}

    def arm(self, fault):
        with self.lock:
            self.armed = [] if fault.get("clear") else self.armed + [fault]

    def take(self, method):
        with self.lock:
            self.counts[method] = self.counts.get(method, 0) + 1
            for fault in self.armed:
                if fault.get("method", method) != method or fault["times"] <= 0:
                    continue
                fault["times"] -= 1
                return fault
        return {}


def signature_error(environ, body, secrets):
    """None where the request is signed by one of `secrets`, else (status, body)."""
    given = environ.get("HTTP_AUTHORIZATION", "")
    try:
        fields = dict(part.split("=", 1) for part in given.split(" ", 1)[1].split(","))
        access, date, region, _, _ = fields["Credential"].split("/")
    except (IndexError, KeyError, ValueError):
        return error(403, "AccessDenied", "no signature")
    if access not in secrets:
        return error(403, "InvalidAccessKeyId", "unknown")
    sent = datetime.datetime.strptime(environ["HTTP_X_AMZ_DATE"], "%Y%m%dT%H%M%SZ")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    if abs((now - sent).total_seconds()) > SKEW_S_MAX:
        return error(403, "RequestTimeTooSkewed", "too large a difference")
    headers = {}
    for name in fields["SignedHeaders"].split(";"):
        variable = name.upper().replace("-", "_")
        headers[name] = environ.get("HTTP_" + variable, environ.get(variable, ""))
    query = environ["QUERY_STRING"]
    path = environ["RAW_URI"].split("?")[0]
    request = AWSRequest(
        environ["REQUEST_METHOD"],
        f"http://{environ['HTTP_HOST']}{path}" + (f"?{query}" if query else ""),
        headers,
        body,
    )
    request.context["timestamp"] = environ["HTTP_X_AMZ_DATE"]
    signer = S3SigV4Auth(Credentials(access, secrets[access]), "s3", region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(text, request) != fields["Signature"]:
        return error(403, "SignatureDoesNotMatch", "another signature")
    return None


class Front:
    """Stands before moto."""

    def __init__(self, secrets):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.faults = Faults()
        self.secrets = secrets

    def control(self, environ, body):
        if environ["PATH_INFO"] == "/-/counts":
            return 200, json.dumps(self.faults.counts).encode()
        self.faults.arm(json.loads(body))
        return 200, b""

    def answer(self, environ, body):
        fault = self.faults.take(environ["REQUEST_METHOD"])
        time.sleep(fault.get("delay_s", 0))
        if "status" in fault:
            return error(fault["status"], fault.get("code", ""), "as told"), fault
        refused = signature_error(environ, body, self.secrets)
        return refused, fault

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith("/-/"):
            refused, fault = self.control(environ, body), {}
        else:
            refused, fault = self.answer(environ, body)
        if refused:
            status, text = refused
            start_response(f"{status} told", [("Content-Length", str(len(text)))])
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text]
        whole = self.moto(environ, start_response)
        if not fault.get("cut"):
            return whole
        text = b"".join(whole)
        return self.cut(text)

    @staticmethod
    def cut(text):
        yield text[: len(text) // 2]
        raise ConnectionAbortedError("as told")


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def tls_context(ca_file):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    with open(ca_file, "wb") as file:
        file.write(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as both:
        both.write(pem)
        both.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        both.flush()
        context.load_cert_chain(both.name)
    return context


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--tls", default="")
    options.add_argument("--port", type=int, default=0)
    options = options.parse_args()
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("MOTO_S3_DEFAULT_MAX_KEYS", "1000")
    front = Front({"test-id": "test-secret", "other-id": "other-secret"})
    context = tls_context(options.tls) if options.tls else None
    server = make_server(
        "127.0.0.1",
        options.port,
        front,
        threaded=True,
        request_handler=Quiet,
        ssl_context=context,
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready {server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
