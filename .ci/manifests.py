"""What the schemas of Kubernetes don't say: whether the parts of a rendered overlay fit together. Usage: manifests.py FILE"""

import sys

import yaml

# Made by whoever installs, or by an operator; see deploy/kubernetes/base/kustomization.yaml.
SECRETS_FROM_ELSEWHERE = {"ipam-key", "ipam-token-pepper", "ipam-postgres-app", "ipam-postgres-server", "ipam-postgres-ca"}
# The password of the role that owns the tables.
OWNER = "ipam-postgres-app"

wrong = []


def need(condition, text):
    if not condition:
        wrong.append(text)


def named(value, kind):
    """Names of the config maps or secrets that a value refers to, at any depth."""
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in (f"{kind}KeyRef", f"{kind}Ref"):
                found.add(inner["name"])
            elif key == kind and isinstance(inner, dict):
                found.add(inner.get("secretName", inner.get("name")))
            else:
                found |= named(inner, kind)
    elif isinstance(value, list):
        for inner in value:
            found |= named(inner, kind)
    return found


with open(sys.argv[1], encoding="utf-8") as file:
    objects = [found for found in yaml.safe_load_all(file) if found]
workloads = [found for found in objects if found["kind"] in ("Deployment", "StatefulSet")]
names = {(found["kind"], found["metadata"]["name"]) for found in objects}
need(workloads, "there is nothing to run")

for workload in workloads:
    spec = workload["spec"]
    template, pod = spec["template"], spec["template"]["spec"]
    what = f"{workload['kind']} {workload['metadata']['name']}"
    labels = template["metadata"]["labels"].items()
    need(spec["selector"]["matchLabels"].items() <= labels, f"{what}: the selector misses its own pods")
    need(pod.get("automountServiceAccountToken") is False, f"{what}: has a token of the cluster")
    need(pod["securityContext"].get("runAsNonRoot"), f"{what}: may run as root")
    need(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{what}: no seccomp profile")
    need(("ServiceAccount", pod["serviceAccountName"]) in names, f"{what}: its service account does not exist")
    for name in named(pod, "configMap"):
        need(("ConfigMap", name) in names, f"{what}: config map {name} does not exist")
    for name in named(pod, "secret"):
        need(name in SECRETS_FROM_ELSEWHERE, f"{what}: nobody makes secret {name}")
    for container in pod["containers"]:
        inner = f"{what}, container {container['name']}"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            need(probe in container, f"{inner}: no {probe}")
    for container in pod.get("initContainers", []) + pod["containers"]:
        inner = f"{what}, container {container['name']}"
        resources, context = container["resources"], container["securityContext"]
        need({"cpu", "memory"} <= resources["requests"].keys(), f"{inner}: no requests")
        need("memory" in resources["limits"], f"{inner}: no limit of memory")
        need(context.get("readOnlyRootFilesystem"), f"{inner}: can write to its root")
        need(context.get("allowPrivilegeEscalation") is False, f"{inner}: may gain privileges")
        need(context["capabilities"]["drop"] == ["ALL"], f"{inner}: has capabilities")
    ports = {port["name"]: port["containerPort"] for found in pod["containers"] for port in found["ports"]}
    services = [
        found for found in objects if found["kind"] == "Service" and found["spec"]["selector"].items() <= labels
    ]
    need(services, f"{what}: no service leads to it")
    for service in services:
        for port in service["spec"]["ports"]:
            need(port["targetPort"] in ports, f"{what}: service port {port['name']} leads nowhere")
    policies = [
        found
        for found in objects
        if found["kind"] == "NetworkPolicy" and (chosen := found["spec"]["podSelector"].get("matchLabels"))
        and chosen.items() <= labels
    ]
    open_ports = {port["port"] for policy in policies for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
    need(open_ports == set(ports.values()), f"{what}: listens on {ports}, and the network lets in {open_ports}")
    if workload["kind"] == "Deployment":
        need(spec["replicas"] >= 2, f"{what}: a single replica")
        need(len(pod["topologySpreadConstraints"]) >= 2, f"{what}: all replicas may be on one node")
        (server,) = pod["containers"]
        (migration,) = pod["initContainers"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}

        def passwords(container):
            """The secrets of whose passwords the container has the files."""
            mounted = [volumes[mount["name"]]["projected"]["sources"] for mount in container["volumeMounts"]]
            secrets = [source["secret"] for sources in mounted for source in sources]
            return {secret["name"] for secret in secrets if any(item["key"] == "password" for item in secret["items"])}

        users = {
            container["name"]: variable["valueFrom"]["secretKeyRef"]["name"]
            for container in (migration, server)
            for variable in container["env"]
            if variable["name"] == "POSTGRES_USER"
        }
        need(users == {"migrate": OWNER, "ipam": "ipam-postgres-server"}, f"{what}: connects as {users}")
        need(OWNER not in passwords(server), f"{what}: the server has the password of the owner of the tables")
        need(OWNER in passwords(migration), f"{what}: who migrates lacks the password of the owner of the tables")
        need({"name": "IPAM_NO_MIGRATE", "value": "true"} in server["env"], f"{what}: the server would migrate")
        paths = [server[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
        need(paths == ["/healthz", "/readyz", "/healthz"], f"{what}: its probes ask {paths}")
        (settings,) = [found["data"] for found in objects if found["kind"] == "ConfigMap"]
        need(
            pod["terminationGracePeriodSeconds"] >= int(settings["IPAM_DRAIN_DELAY"]) + 30,
            f"{what}: is killed before requests can end",
        )
        budgets = [
            found
            for found in objects
            if found["kind"] == "PodDisruptionBudget" and found["spec"]["selector"]["matchLabels"].items() <= labels
        ]
        need(budgets, f"{what}: no disruption budget")

need(
    any(found["kind"] == "NetworkPolicy" and found["spec"]["podSelector"] == {} for found in objects),
    "the network is open but for what a policy closes",
)
for cluster in (found for found in objects if found["kind"] == "Cluster"):
    synchronous = cluster["spec"]["postgresql"].get("synchronous", {})
    need(synchronous.get("dataDurability") == "required", "a failover of the database can forget allocations")
    need(cluster["spec"]["instances"] >= 3, "with one instance away allocations would stop")
    for server in (found for found in workloads if found["kind"] == "Deployment"):
        (container,) = server["spec"]["template"]["spec"]["containers"]
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        need(variables.get("PGSSLMODE") == "verify-full", "servers do not check which database they talk to")

if wrong:
    sys.exit("\n".join(wrong))
