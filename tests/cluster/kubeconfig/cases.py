"""Odd kubeconfigs, each with the flags and variables that go with it. Texts in braces are filled in: {A}, {FOLDER}, ...

A case's files are written as they stand, or as JSON, which is YAML.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
INSECURE = {"insecure-skip-tls-verify": True}


@dataclass(frozen=True, kw_only=True)
class Case:
    files: Mapping[str, Json | str] = field(default_factory=dict)
    kubeconfig: str = "{FOLDER}/a"
    """$KUBECONFIG."""
    flag: str = ""
    """--kubeconfig"""
    context: str = ""
    namespace: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    refused_by_us: bool = False
    """kubectl takes it, and we say in a line that we don't."""


def config(server: str = "{A}", current: str | None = "c", user: Json | None = None, **more: Any) -> Json:
    """One cluster, user and context, called `c`. more: of the cluster, with dashes in place of underlines."""
    cluster = {"server": server} | (INSECURE if server.startswith(("{A}", "{B}")) else {})
    cluster |= {name.replace("_", "-"): value for name, value in more.pop("cluster", {}).items()}
    namespace = {"namespace": more["namespace"]} if "namespace" in more else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "c", "user": {"token": "of-c"} if user is None else user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c", **namespace}}],
        **({} if current is None else {"current-context": current}),
    }


def called(name: str, found: Json, *, current: bool = True) -> Json:
    """The same under another name."""
    parts: Json = {
        plural: [{"name": name, each: found[plural][0][each]}]
        for plural, each in (("clusters", "cluster"), ("users", "user"))
    }
    context = found["contexts"][0]["context"] | {"cluster": name, "user": name}
    parts["contexts"] = [{"name": name, "context": context}]
    return {"apiVersion": "v1", "kind": "Config", **parts, **({"current-context": name} if current else {})}


def plugin(script: str, version: str = "v1", **more: Any) -> Json:
    group = f"client.authentication.k8s.io/{version}"
    mode = {"interactiveMode": "Never"} if version == "v1" else {}
    return {"exec": {"apiVersion": group, "command": "sh", "args": ["-c", script], **mode, **more}}


def printed(status: str, version: str = "v1") -> str:
    """A script that prints an ExecCredential."""
    about = f'"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/{version}"'
    return "printf '%s' '{" + f'{about},"status":{status}' + "}'"


TOKEN = '{"token":"of-plugin"}'
A, B = (
    called("a", config("{A}", user={"token": "of-a"}, namespace="in-a")),
    called("b", config("{B}", user={"token": "of-b"}, namespace="in-b")),
)
BOTH = {"a": A, "b": B}
FAR = "https://api.cluster.test:{A_PORT}"
PLAIN_FAR = "http://api.cluster.test:{PLAIN_PORT}"
TRUSTED = {"certificate_authority_data": "{CA_DATA}"}


def through(server: str = FAR, proxy: str = "", **variables: str) -> Case:
    cluster = {"proxy_url": proxy} if proxy else {}
    if server.startswith("https"):
        cluster |= TRUSTED
    return Case(files={"a": config(server, cluster=cluster)}, variables=variables)


def user(**fields: Any) -> Case:
    return Case(files={"a": config(user={name.replace("_", "-"): value for name, value in fields.items()})})


def text(content: str) -> Case:
    return Case(files={"a": content})


MERGES = {
    "of two files the first's current context": Case(files=BOTH, kubeconfig="{FOLDER}/a:{FOLDER}/b"),
    "and the other way round": Case(files=BOTH, kubeconfig="{FOLDER}/b:{FOLDER}/a"),
    "a context of the second": Case(files=BOTH, kubeconfig="{FOLDER}/a:{FOLDER}/b", context="b"),
    "a current context that the second file has": Case(
        files={"a": {"current-context": "b"}, "b": B}, kubeconfig="{FOLDER}/a:{FOLDER}/b"
    ),
    "an empty current context is none": Case(
        files={"a": A | {"current-context": ""}, "b": B}, kubeconfig="{FOLDER}/a:{FOLDER}/b"
    ),
    "of one name the first counts, whole": Case(
        files={"a": config(), "b": called("c", config("{B}", user={"token": "of-b"}, namespace="in-b"))},
        kubeconfig="{FOLDER}/a:{FOLDER}/b",
    ),
    "a user without fields hides that of the second": Case(
        files={"a": config(user={}), "b": called("c", config("{B}", user={"token": "of-b"}))},
        kubeconfig="{FOLDER}/a:{FOLDER}/b",
    ),
    "files that are not there": Case(files={"b": B}, kubeconfig="{FOLDER}/absent::{FOLDER}/b:"),
    "none of the files is there": Case(kubeconfig="{FOLDER}/absent:{FOLDER}/away"),
    "a broken file beside a good one": Case(files={"a": A, "b": "a: b: c"}, kubeconfig="{FOLDER}/a:{FOLDER}/b"),
    "a folder in place of a file": Case(kubeconfig="{FOLDER}"),
    "the flag goes before the variable": Case(files=BOTH, flag="{FOLDER}/b"),
    "the flag is one file and no list": Case(files=BOTH, flag="{FOLDER}/a:{FOLDER}/b"),
    "the flag's file is not there": Case(files=BOTH, flag="{FOLDER}/absent"),
    "a home folder is not looked for": Case(kubeconfig="~/.kube/config"),
    "the home folder's": Case(files={".kube/config": B}, kubeconfig="", variables={"HOME": "{FOLDER}"}),
}
CONTEXTS = {
    "a context where none is current": Case(files={"a": config(current=None)}, context="c"),
    "a context where the current one is unknown": Case(files={"a": config(current="gone")}, context="c"),
    "a current context that is unknown": Case(files={"a": config(current="gone")}),
    "no current context": Case(files={"a": config(current=None)}),
    "a context that is not there": Case(files={"a": config()}, context="gone"),
    "a namespace goes before the context's": Case(files={"a": A}, namespace="mine"),
    "a context without a namespace": Case(files={"a": config()}),
    "a user that is not there": Case(files={"a": config() | {"users": []}}),
    "a cluster that is not there": Case(files={"a": config() | {"clusters": []}}),
    "a cluster without a server": Case(files={"a": config("")}),
    "a context that is empty": Case(files={"a": config() | {"contexts": [{"name": "c", "context": None}]}}),
}
FORMS = {
    "nothing": text(""),
    "blanks": text("  \n\n"),
    "a comment": text("# nothing\n"),
    "null": text("null\n"),
    "a list": text("- clusters: []\n"),
    "a text": text("hello\n"),
    "not YAML": text("clusters: [\n"),
    "a tab": text("clusters:\n\t- name: c\n"),
    "bytes of no encoding": text("\udcff\udcfe"),
    "clusters that are a map": Case(files={"a": config() | {"clusters": {"c": {"server": "{A}"}}}}),
    "lists that are null": Case(files={"a": {"clusters": None, "users": None, "contexts": None}}),
    "another kind": Case(files={"a": config() | {"kind": "Pod"}}),
    "another version": Case(files={"a": config() | {"apiVersion": "v2"}}),
    "without kind and version": Case(
        files={"a": {name: each for name, each in config().items() if name not in ("kind", "apiVersion")}}
    ),
    "fields that nobody knows": Case(files={"a": config() | {"colours": ["red"]}}),
    "a name twice": Case(files={"a": config() | {"users": [{"name": "c", "user": {"token": each}} for each in "ab"]}}),
    "a token that is a number": user(token=12345),
    "a namespace that is a number": Case(files={"a": config(namespace=7)}),
    "a name that is a date": Case(
        files={
            "a": "contexts: [{name: 2026-01-01, context: {cluster: c, user: c}}]\n"
            "current-context: 2026-01-01\nclusters: [{name: c, cluster: {server: '{A}', "
            "insecure-skip-tls-verify: true}}]\nusers: [{name: c, user: {token: of-c}}]\n"
        }
    ),
    "two documents": text("kind: Config\n---\nkind: Config\n"),
}
USERS = {
    "a token": user(token="secret"),
    "no user's fields": user(),
    "a file with a token": Case(files={"a": config(user={"tokenFile": "token"}), "token": "in-file\n"}),
    "a file goes before a token": Case(files={"a": config(user={"tokenFile": "token", "token": "x"}), "token": "y"}),
    "a file that is gone beside a token": user(tokenFile="absent", token="x"),
    "a file that is gone": user(tokenFile="absent"),
    "a password": user(username="me", password="pässword"),
    "a password alone": user(password="secret"),
    "a token and a password": user(username="me", password="secret", token="x"),
    "a certificate": user(client_certificate_data="{CLIENT_DATA}", client_key_data="{CLIENT_KEY_DATA}"),
    "files of a certificate beside the kubeconfig": Case(
        files={
            "sub/a": config(user={"client-certificate": "../crt", "client-key": "../key"}),
            "crt": "{CLIENT}",
            "key": "{CLIENT_KEY}",
        },
        kubeconfig="{FOLDER}/sub/a",
    ),
    "a certificate and a token": user(
        client_certificate_data="{CLIENT_DATA}", client_key_data="{CLIENT_KEY_DATA}", token="x"
    ),
    "a certificate without a key": user(client_certificate_data="{CLIENT_DATA}"),
    "a certificate that is none": user(client_certificate_data="AAAA", client_key_data="AAAA"),
    "data that is not base64": user(client_certificate_data="***", client_key_data="***"),
    "a file of a certificate that is gone": user(client_certificate="absent", client_key="absent"),
    "acting as somebody": Case(files={"a": config(user={"token": "x", "as": "other", "as-groups": ["team"]})}),
    "acting as a group of nobody": Case(files={"a": config(user={"token": "x", "as-groups": ["team"]})}),
    "acting as several groups": Case(
        files={"a": config(user={"token": "x", "as": "other", "as-groups": ["team", "more"]})}, refused_by_us=True
    ),
    "a provider that is gone": Case(files={"a": config(user={"auth-provider": {"name": "gcp"}})}),
}
PLUGINS = {
    "a plugin": Case(files={"a": config(user=plugin(printed(TOKEN)))}),
    "a plugin of the version before": Case(files={"a": config(user=plugin(printed(TOKEN, "v1beta1"), "v1beta1"))}),
    "a plugin's certificate": Case(
        files={
            "a": config(user=plugin("cat {FOLDER}/answer")),
            "answer": '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":'
            '{"clientCertificateData":{CLIENT_JSON},"clientKeyData":{CLIENT_KEY_JSON}}}',
        }
    ),
    "a plugin that fails": Case(files={"a": config(user=plugin("echo log in first >&2; exit 3"))}),
    "a plugin that is not there": Case(files={"a": config(user=plugin("", command="no-such-program"))}),
    "a plugin beside the kubeconfig": Case(
        files={"a": config(user=plugin("", command="./plugin", args=[])), "plugin": "#!/bin/sh\n" + printed(TOKEN)}
    ),
    "a plugin that prints no JSON": Case(files={"a": config(user=plugin("echo hello"))}),
    "a plugin without a status": Case(files={"a": config(user=plugin(printed("null")))}),
    "a plugin without a token": Case(files={"a": config(user=plugin(printed("{}")))}),
    "half a certificate of a plugin": Case(files={"a": config(user=plugin(printed('{"clientCertificateData":"x"}')))}),
    "a plugin that answers in another version": Case(files={"a": config(user=plugin(printed(TOKEN, "v1beta1")))}),
    "a plugin of a version that is gone": Case(files={"a": config(user=plugin(printed(TOKEN), "v1alpha1"))}),
    "a plugin that must ask": Case(files={"a": config(user=plugin(printed(TOKEN), interactiveMode="Always"))}),
    "a plugin of no mode": Case(files={"a": config(user=plugin(printed(TOKEN), interactiveMode=""))}),
    "a plugin's variables": Case(
        files={"a": config(user=plugin(printed('{"token":"\'$TOKEN\'"}'), env=[{"name": "TOKEN", "value": "mine"}]))}
    ),
    "a plugin that is told of the cluster": Case(
        files={
            "a": config(
                user=plugin(
                    'case $KUBERNETES_EXEC_INFO in *\'"server":"{A}"\'*) ' + printed(TOKEN) + ";; esac",
                    provideClusterInfo=True,
                )
            )
        }
    ),
    "a token goes before a plugin": Case(files={"a": config(user=plugin("exit 1") | {"token": "mine"})}),
    "a plugin whose token is over": Case(
        files={"a": config(user=plugin(printed('{"token":"old","expirationTimestamp":"2020-01-01T00:00:00Z"}')))}
    ),
}
SERVERS = {
    "a certificate that is trusted": Case(files={"a": config("https://localhost:{A_PORT}", cluster=TRUSTED)}),
    "a certificate that nobody signed": Case(files={"a": config("https://localhost:{A_PORT}")}),
    "trusted and not looked at": Case(files={"a": config(cluster=TRUSTED)}),
    "a name of its own for the certificate": Case(
        files={"a": config("https://127.0.0.1:{A_PORT}", cluster=TRUSTED | {"tls_server_name": "hidden.test"})}
    ),
    "another's name": Case(
        files={"a": config("https://127.0.0.1:{A_PORT}", cluster=TRUSTED | {"tls_server_name": "other.test"})}
    ),
    "an authority in a file and in place": Case(
        files={
            "a": config("https://localhost:{A_PORT}", cluster=TRUSTED | {"certificate_authority": "ca"}),
            "ca": "{CA}",
        }
    ),
    "an authority that is gone": Case(
        files={"a": config("https://localhost:{A_PORT}", cluster={"certificate_authority": "ca"})}
    ),
    "no TLS, no token": Case(files={"a": config("{PLAIN}")}),
    "no scheme": Case(files={"a": config("127.0.0.1:{PLAIN_PORT}")}),
    "a path": Case(files={"a": config("{A}/k8s/clusters/c-1/")}),
    "another scheme": Case(files={"a": config("ftp://127.0.0.1:1")}),
    "no server's name": Case(files={"a": config("https://:{A_PORT}", cluster=INSECURE)}, refused_by_us=True),
    "a port that is none": Case(files={"a": config("https://127.0.0.1:99999", cluster=INSECURE)}),
}
PROXIES = {
    "a proxy of the kubeconfig": through(proxy="{PROXY}"),
    "which NO_PROXY does not touch": through(proxy="{PROXY}", NO_PROXY="*"),
    "which goes before the variable": through(proxy="{PROXY}", HTTPS_PROXY="http://127.0.0.1:1"),
    "a proxy of another scheme": through(proxy="ftp://127.0.0.1:1"),
    "a proxy without a scheme in the kubeconfig": through(proxy="127.0.0.1:{PROXY_PORT}"),
    "a proxy's password": through(proxy="http://me:p%40ss@127.0.0.1:{PROXY_PORT}"),
    "a proxy by HTTPS_PROXY": through(HTTPS_PROXY="{PROXY}"),
    "without a scheme": through(HTTPS_PROXY="127.0.0.1:{PROXY_PORT}"),
    "in lower case": through(https_proxy="{PROXY}", HTTPS_PROXY="http://127.0.0.1:1"),
    "HTTP_PROXY is not for https": through(HTTP_PROXY="{PROXY}"),
    "ALL_PROXY is not known": through(ALL_PROXY="{PROXY}"),
    "a proxy by HTTP_PROXY": through(PLAIN_FAR, HTTP_PROXY="{PROXY}"),
    "HTTPS_PROXY is not for http": through(PLAIN_FAR, HTTPS_PROXY="{PROXY}"),
    "this machine needs no proxy": through("https://localhost:{A_PORT}", HTTPS_PROXY="{PROXY}"),
    "nor by its address": through("https://127.0.0.1:{A_PORT}", HTTPS_PROXY="{PROXY}"),
    "another address does": through("https://0.0.0.0:{A_PORT}", HTTPS_PROXY="{PROXY}"),
    "but in a network of NO_PROXY": through("https://0.0.0.0:{A_PORT}", HTTPS_PROXY="{PROXY}", NO_PROXY="0.0.0.0/8"),
    "or by its address there": through("https://0.0.0.0:{A_PORT}", HTTPS_PROXY="{PROXY}", NO_PROXY="x, 0.0.0.0"),
    "or with its port": through("https://0.0.0.0:{A_PORT}", HTTPS_PROXY="{PROXY}", NO_PROXY="0.0.0.0:{A_PORT}"),
    "not with another's": through("https://0.0.0.0:{A_PORT}", HTTPS_PROXY="{PROXY}", NO_PROXY="0.0.0.0:1"),
    "a domain of NO_PROXY": through(HTTPS_PROXY="{PROXY}", NO_PROXY="cluster.test"),
    "a domain that only ends alike": through(HTTPS_PROXY="{PROXY}", NO_PROXY="luster.test,pi.cluster.test"),
    "a domain with a dot is of those below": through(HTTPS_PROXY="{PROXY}", NO_PROXY=".api.cluster.test"),
    "and they are": through(HTTPS_PROXY="{PROXY}", NO_PROXY=".cluster.test"),
    "a star and a dot": through(HTTPS_PROXY="{PROXY}", NO_PROXY="*.cluster.test"),
    "a star elsewhere": through(HTTPS_PROXY="{PROXY}", NO_PROXY="api.*.test"),
    "in upper case": through(HTTPS_PROXY="{PROXY}", NO_PROXY="API.CLUSTER.TEST"),
    "no_proxy of lower case first": through(HTTPS_PROXY="{PROXY}", NO_PROXY="*", no_proxy="other"),
}
CASES = MERGES | CONTEXTS | FORMS | USERS | PLUGINS | SERVERS | PROXIES
