// The 3D viewer: three.js on one canvas, drawn only when something changed.

import { GLTFLoader } from "./three/GLTFLoader.js";
import { OrbitControls } from "./three/OrbitControls.js";
import { RoomEnvironment } from "./three/RoomEnvironment.js";
import {
  Box3,
  Mesh,
  MeshBasicMaterial,
  MeshStandardMaterial,
  NeutralToneMapping,
  PMREMGenerator,
  PerspectiveCamera,
  Scene,
  Sphere,
  Spherical,
  Vector3,
  WebGLRenderer,
} from "./three/three.module.min.js";

const FIELD = 32; // degrees, upright
const START = { azimuth: 28, height: 14 }; // degrees: enough to the side to see that it is a body
const SIDES = { front: 0, right: 90, back: 180, left: 270 }; // as the four views are taken
const CLOSE = 0.84; // of the distance at which even the box's corners fit
const LIGHT = 0.75; // the photo's own light is in the texture already
const ROOM = 64; // pixels of a side of the surroundings: soft light needs no more, and 256 cost a slow device seconds
const TURN = Math.PI / 24;
const ZOOM = 1.15;
const DENSEST = 2; // device pixels per pixel; more costs a phone's battery and shows nothing

export class Viewer {
  #renderer;
  #scene = new Scene();
  #camera = new PerspectiveCamera(FIELD);
  #controls;
  #model = null;
  #sphere = new Sphere(new Vector3(), 1);
  #shading = "textured";
  #loading = 0;
  #frame = 0;
  #clay = new MeshStandardMaterial({ color: 0xc4bcb0, roughness: 0.85 });
  #wire = new MeshBasicMaterial({ color: 0x0b7a6f, wireframe: true, transparent: true, opacity: 0.55 });

  // Throws where the browser has no WebGL 2.
  constructor(canvas) {
    this.#renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.#renderer.toneMapping = NeutralToneMapping;
    this.#renderer.setPixelRatio(Math.min(devicePixelRatio, DENSEST));
    const light = new PMREMGenerator(this.#renderer);
    this.#scene.environment = light.fromScene(new RoomEnvironment(), 0.04, 0.1, 100, { size: ROOM }).texture;
    this.#scene.environmentIntensity = LIGHT;
    light.dispose();
    // Filled faces lie a little deeper, so that the wires on them are seen.
    Object.assign(this.#clay, { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 });
    this.#controls = new OrbitControls(this.#camera, canvas);
    this.#controls.addEventListener("change", () => this.#draw());
    this.#controls.enableDamping = false;
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("webglcontextrestored", () => this.#draw());
    new ResizeObserver(() => this.#fit(canvas)).observe(canvas.parentElement);
    this.#fit(canvas);
  }

  // Show the GLB at `url`; resolves with the number of triangles, or null where another was asked for meanwhile.
  // Where a model is shown already (the bare mesh, say), the view stays as it was turned.
  async load(url) {
    const turn = ++this.#loading;
    const { scene } = await new GLTFLoader().loadAsync(url);
    if (turn !== this.#loading) {
      dispose(scene);
      return null;
    }
    const isFirst = !this.#model;
    this.#remove();
    this.#model = scene;
    let triangles = 0;
    const meshes = [];
    scene.traverse((node) => node.isMesh && meshes.push(node));
    for (const mesh of meshes) {
      const { index, attributes } = mesh.geometry;
      triangles += (index ?? attributes.position).count / 3;
      mesh.userData.textured = mesh.material;
      const wires = new Mesh(mesh.geometry, this.#wire);
      wires.userData.wires = true;
      mesh.add(wires);
    }
    this.#scene.add(scene);
    new Box3().setFromObject(scene).getBoundingSphere(this.#sphere);
    this.shade(this.#shading);
    if (isFirst) this.reset();
    return triangles;
  }

  // Show nothing.
  clear() {
    this.#loading++;
    this.#remove();
    this.#draw();
  }

  // "textured", "clay" or "wireframe".
  shade(how) {
    this.#shading = how;
    this.#model?.traverse((node) => {
      if (node.userData.wires) node.visible = how === "wireframe";
      else if (node.isMesh) node.material = how === "textured" ? node.userData.textured : this.#clay;
    });
    this.#draw();
  }

  reset() {
    this.#stand(START.azimuth, START.height);
  }

  // Look from one of SIDES.
  look(side) {
    this.#stand(SIDES[side], 0);
  }

  #stand(azimuth, height) {
    const narrow = Math.min(1, this.#camera.aspect);
    const distance = (this.#sphere.radius * CLOSE) / Math.sin((FIELD * Math.PI) / 360) / narrow;
    const radians = Math.PI / 180;
    this.#camera.near = this.#sphere.radius / 50;
    this.#camera.far = this.#sphere.radius * 100;
    this.#camera.updateProjectionMatrix();
    this.#controls.minDistance = this.#sphere.radius * 0.3;
    this.#controls.maxDistance = this.#sphere.radius * 20;
    this.#controls.target.copy(this.#sphere.center);
    this.#camera.position
      .setFromSphericalCoords(distance, (90 - height) * radians, azimuth * radians)
      .add(this.#sphere.center);
    this.#controls.update();
    this.#draw();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const from = this.#camera.position.clone().sub(this.#controls.target);
    const at = new Spherical().setFromVector3(from);
    if (event.key === "ArrowLeft") at.theta -= TURN;
    else if (event.key === "ArrowRight") at.theta += TURN;
    else if (event.key === "ArrowUp") at.phi -= TURN;
    else if (event.key === "ArrowDown") at.phi += TURN;
    else if (event.key === "+" || event.key === "=") at.radius /= ZOOM;
    else if (event.key === "-") at.radius *= ZOOM;
    else if (event.key === "0" || event.key === "Home") return this.reset();
    else return;
    event.preventDefault();
    this.#camera.position.setFromSpherical(at.makeSafe()).add(this.#controls.target);
    this.#controls.update();
    this.#draw();
  }

  #fit(canvas) {
    const { clientWidth, clientHeight } = canvas.parentElement;
    if (!clientWidth || !clientHeight) return;
    this.#renderer.setSize(clientWidth, clientHeight, false);
    this.#camera.aspect = clientWidth / clientHeight;
    this.#camera.updateProjectionMatrix();
    this.#draw();
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#renderer.render(this.#scene, this.#camera);
    });
  }

  #remove() {
    if (!this.#model) return;
    this.#scene.remove(this.#model);
    dispose(this.#model);
    this.#model = null;
  }
}

// Give back what a model holds on the graphics card.
function dispose(model) {
  model.traverse((node) => {
    if (!node.isMesh || node.userData.wires) return;
    node.geometry.dispose();
    const material = node.userData.textured ?? node.material;
    for (const value of Object.values(material)) if (value?.isTexture) value.dispose();
    material.dispose();
  });
}
