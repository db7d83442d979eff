from tokentrace.scenario import loading, format
s = loading.load("quick"); print(s.phases, len(s.steps), loading.shipped())
s = loading.load("k8s-long-conversation"); print(s.phases, s.steps[0])
import tempfile, os
def bad(text):
    open("/tmp/scen-x.yaml","wb").write(text if isinstance(text,bytes) else text.encode())
    try: print("LOADED", loading.load("/tmp/scen-x.yaml"))
    except Exception as e: print(type(e).__name__, e)
G="name: x\nphases:\n  - name: a\n    turns:\n      - hello\n"
for t in ["", "# only\n", b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\x00\x00", "a: [1", "a: &x [1]\nb: [*x,*x]\n", G+"promt: 1\n", G.replace("- hello","- promt: hello"), G.replace("hello","42"), G.replace("hello","{prompt: hi, timeout: 0}"), G+"timeout: .nan\n", G+"timeout: .inf\n", G+"timeout: true\n",G+"expect: {max_total: 1.5}\n", G+"expect: {max_component: {history: -1}}\n", G+"expect: {max_component: {history: 3}}\nexpect: {}\n", "["*5000, G+"---\nb: 1\n", G+"essential: !!python/object/apply:os.system [ls]\n", G+"description: !!python/name:os.system x\n", "- a\n", "name: x\n", G.replace("name: x","name: ../x"), G+"1: 2\n", G+"description: 2024-13-45\n", G+"stop_after:\n", G.replace("hello","''"), G+"a\x00: 3"]:
    bad(t)
for w in ["quik","nope","no/such.yaml","/tmp","missing.yml", "a\0b.yaml"]:
    try: loading.load(w)
    except Exception as e: print(type(e).__name__, e)
print(format.schema()[:600])
