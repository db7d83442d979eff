import http from "k6/http";
import { check, sleep } from "k6";

export const options = {
  scenarios: {
    evening: {
      executor: "ramping-arrival-rate",
      startRate: 40,
      timeUnit: "1s",
      preAllocatedVUs: 200,
      stages: [
        { target: 120, duration: "3m" },
        { target: 260, duration: "5m" },
        { target: 260, duration: "10m" },
        { target: 0, duration: "2m" },
      ],
    },
  },
  thresholds: { http_req_duration: ["p(95)<450"], http_req_failed: ["rate<0.005"] },
};

export default function () {
  const cart = http.post(`${__ENV.BASE}/v2/carts`, JSON.stringify({ sku: "LK-2207", quantity: 2 }));
  check(cart, { "cart created": (reply) => reply.status === 201 });
  const order = http.post(`${__ENV.BASE}/v2/orders`, JSON.stringify({ cart: cart.json("id") }));
  check(order, { "order placed": (reply) => reply.status === 201 });
  sleep(1);
}
